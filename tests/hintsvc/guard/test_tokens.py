"""Service-account tokens, signed by an issuer of our own."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_hintsvc.errors import TokenError
from tokenflow_hintsvc.guard.tokens import ServiceAccount, TokenVerifier

ISSUER = "https://kubernetes.default.svc"


class Issuer:
    """Keys that can be rotated, and how often they were asked for."""

    def __init__(self) -> None:
        self.fetches = 0
        self.rotate("k1")

    def rotate(self, identifier: str) -> None:
        self.identifier = identifier
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    async def fetch(self) -> tuple[str, dict[str, Any]]:
        self.fetches += 1
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return ISSUER, {"keys": [{**public, "kid": self.identifier, "alg": "RS256", "use": "sig"}]}

    def token(self, **changes: object) -> str:
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": [TOKEN_AUDIENCE],
            "exp": int(time.time()) + 600,
            "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "nodes-agent"}},
        }
        return jwt.encode(claims | changes, self.key, algorithm="RS256", headers={"kid": self.identifier})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_good_token_names_its_service_account() -> None:
    issuer = Issuer()
    verifier = TokenVerifier(issuer)
    assert await verifier.verify(issuer.token()) == ServiceAccount("default", "nodes-agent")
    await verifier.verify(issuer.token())
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"aud": ["somebody-else"]},
        {"iss": "https://elsewhere"},
        {"kubernetes.io": {}},
        {"kubernetes.io": "text"},
    ],
)
async def test_a_bad_token_is_refused(changes: dict[str, object]) -> None:
    issuer = Issuer()
    with pytest.raises(TokenError):
        await TokenVerifier(issuer).verify(issuer.token(**changes))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 9000])
async def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(TokenError):
        await TokenVerifier(Issuer()).verify(token)


async def test_an_unsigned_token_is_refused() -> None:
    claims = {"iss": ISSUER, "aud": TOKEN_AUDIENCE, "exp": int(time.time()) + 600}
    forged = jwt.encode(claims, "", algorithm="none", headers={"kid": "k1"})
    with pytest.raises(TokenError):
        await TokenVerifier(Issuer()).verify(forged)


async def test_new_keys_are_fetched_but_not_for_every_forgery() -> None:
    issuer, clock = Issuer(), Clock()
    verifier = TokenVerifier(issuer, clock=clock)
    await verifier.verify(issuer.token())
    issuer.rotate("k2")
    with pytest.raises(TokenError, match="unknown key"):
        await verifier.verify(issuer.token())
    assert issuer.fetches == 1
    clock.now += 11
    assert (await verifier.verify(issuer.token())).name == "nodes-agent"
    assert issuer.fetches == 2
