"""Tokens, signed by an issuer of our own, against the keys that it publishes."""

import base64
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.serving.issuer import ISSUER, Clock, Issuer
from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_api.serving.errors import TokenError
from tokenflow_api.serving.keysets import Issued, KeySet
from tokenflow_api.serving.tokens import ServiceAccount, service_account


async def test_a_good_token_names_its_service_account_pod_and_node() -> None:
    issuer = Issuer()
    keys = KeySet(issuer)
    claims = await keys.claims(issuer.token(), audience=TOKEN_AUDIENCE)
    assert service_account(claims) == ServiceAccount("default", "nodes-agent", pod="nodes-agent-0", node="node-1")
    await keys.claims(issuer.token(), audience=TOKEN_AUDIENCE)
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"aud": ["somebody-else"]},
        {"aud": None},
        {"iss": "https://elsewhere"},
    ],
)
async def test_a_token_that_does_not_count_here_and_now_is_refused(changes: dict[str, object]) -> None:
    issuer = Issuer()
    with pytest.raises(TokenError):
        await KeySet(issuer).claims(issuer.token(**changes), audience=TOKEN_AUDIENCE)


@pytest.mark.parametrize(("claim", "offset_s"), [("exp", -3), ("nbf", 5)])
async def test_clocks_may_differ_by_seconds(claim: str, offset_s: int) -> None:
    issuer = Issuer()
    token = issuer.token(**{claim: int(time.time()) + offset_s})
    await KeySet(issuer).claims(token, audience=TOKEN_AUDIENCE)


@pytest.mark.parametrize("claim", [{}, "text", {"namespace": "default", "serviceaccount": None}])
async def test_a_token_of_no_service_account_is_refused(claim: object) -> None:
    with pytest.raises(TokenError):
        service_account({"kubernetes.io": claim})


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 9000])
async def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(TokenError):
        await KeySet(Issuer()).claims(token, audience=TOKEN_AUDIENCE)


def claims() -> dict[str, object]:
    return {"iss": ISSUER, "aud": TOKEN_AUDIENCE, "exp": int(time.time()) + 600}


async def test_an_unsigned_token_is_refused() -> None:
    forged = jwt.encode(claims(), "", algorithm="none", headers={"kid": "k1"})
    with pytest.raises(TokenError):
        await KeySet(Issuer()).claims(forged, audience=TOKEN_AUDIENCE)


class Published:
    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.keys = keys

    async def fetch(self) -> Issued:
        return Issued(issuer=ISSUER, document={"keys": list(self.keys)})


async def test_a_symmetric_key_among_the_published_ones_signs_nothing() -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    forged = jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "k1"})
    with pytest.raises(TokenError):
        await KeySet(Published({"kty": "oct", "kid": "k1", "alg": "HS256", "k": text})).claims(
            forged, audience=TOKEN_AUDIENCE
        )


async def test_a_public_key_taken_for_a_secret_signs_nothing() -> None:
    issuer = Issuer()
    public = (await issuer.fetch()).document["keys"][0]
    modulus = base64.urlsafe_b64decode(public["n"] + "==")
    forged = jwt.encode(claims(), modulus, algorithm="HS256", headers={"kid": "k1"})
    with pytest.raises(TokenError):
        await KeySet(issuer).claims(forged, audience=TOKEN_AUDIENCE)


async def test_elliptic_curves_are_taken_too() -> None:
    p256, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    published = Published(
        {**jwt.algorithms.ECAlgorithm.to_jwk(p256.public_key(), as_dict=True), "kid": "p256"},
        {**jwt.algorithms.OKPAlgorithm.to_jwk(edwards.public_key(), as_dict=True), "kid": "ed"},
    )
    keys = KeySet(published)
    for key, algorithm, identifier in ((p256, "ES256", "p256"), (edwards, "EdDSA", "ed")):
        token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": identifier})
        assert (await keys.claims(token, audience=TOKEN_AUDIENCE))["iss"] == ISSUER


async def test_new_keys_are_fetched_but_not_for_every_forgery() -> None:
    issuer, clock = Issuer(), Clock()
    keys = KeySet(issuer, clock=clock)
    await keys.claims(issuer.token(), audience=TOKEN_AUDIENCE)
    issuer.rotate("k2")
    with pytest.raises(TokenError, match="does not publish"):
        await keys.claims(issuer.token(), audience=TOKEN_AUDIENCE)
    assert issuer.fetches == 1
    clock.now += 11
    assert (await keys.claims(issuer.token(), audience=TOKEN_AUDIENCE))["iss"] == ISSUER
    assert issuer.fetches == 2
