"""Whose request is it."""

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.identity.support import JWT, TENANTS, config, request
from tests.serving.issuer import Clock, Issuer
from tokenflow_api.api_keys import KeyRing, hashed_line
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.keysets import Issued
from tokenflow_gateway.errors import (
    AddressNotAllowedError,
    GatewayError,
    KeysUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
)
from tokenflow_gateway.front.exchange import Request
from tokenflow_gateway.identity.identify import Guard, Identity


@dataclass
class Door:
    """A guard with its clocks, the issuer that it believes, and the mounts of the keys."""

    guard: Guard
    issuer: Issuer
    clock: Clock
    wall: Clock
    keys: Path
    config: RuntimeConfig

    async def ask(self, asked: Request) -> Identity:
        return await self.guard.identify(asked, self.config)

    async def refused(self, asked: Request) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.ask(asked)
        return caught.value

    def token(self, **claims: object) -> str:
        return self.issuer.signed(**{"aud": "tokenflow", "tenant": "gold"} | claims)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    for tenant in ("gold", "silver"):
        (tmp_path / tenant).mkdir()
        (tmp_path / tenant / "key").write_text(hashed_line(f"sk-{tenant}"))
    issuer, clock, wall = Issuer("https://issuer.example"), Clock(), Clock(time.time())
    guard = Guard(ring=KeyRing(tmp_path, clock=clock), published=lambda _: issuer, now=wall, clock=clock)
    return Door(guard, issuer, clock, wall, tmp_path, config(jwt=JWT))


@pytest.mark.parametrize(
    ("asked", "tenant", "key"),
    [
        (request("sk-gold"), "gold", "key"),
        # A key decides, whatever else is said.
        (request("sk-silver", x_tenant_id="gold"), "silver", "key"),
        (request(x_tenant_id="free"), "free", ""),
        (request(x_gateway_inference_fairness_id="free"), "free", ""),
        (request(x_llm_d_inference_fairness_id="free"), "free", ""),
        # Just one tenant needs no key: it need not be named.
        (request(), "free", ""),
        # OpenAI's clients always send some key.
        (request("EMPTY"), "free", ""),
        (request("EMPTY", x_tenant_id="free"), "free", ""),
    ],
)
async def test_a_key_decides_and_tenants_without_one_may_be_named(
    door: Door, asked: Request, tenant: str, key: str
) -> None:
    identity = await door.ask(asked)
    assert (identity.tenant.name, identity.key, identity.address) == (tenant, key, "192.0.2.7")
    assert identity.subject == f"tenant:{tenant}"


@pytest.mark.parametrize("tenant", ["gold", "nobody"])
async def test_a_tenant_that_needs_a_key_cannot_be_claimed(door: Door, tenant: str) -> None:
    error = await door.refused(request(x_tenant_id=tenant))
    assert isinstance(error, UnauthorizedError)
    assert "Authorization: Bearer" in error.message
    assert error.headers()["WWW-Authenticate"] == "Bearer"


async def test_where_all_tenants_need_a_key_an_unknown_one_is_refused(door: Door) -> None:
    door.config = config(tenants=TENANTS[:2])
    for asked in (request("nobody"), request()):
        assert isinstance(await door.refused(asked), UnauthorizedError)


async def test_where_several_tenants_need_none_one_must_be_named(door: Door) -> None:
    door.config = config(tenants=[{"name": "free"}, {"name": "public"}])
    assert isinstance(await door.refused(request()), UnauthorizedError)
    assert (await door.ask(request(x_tenant_id="public"))).tenant.name == "public"


async def test_a_token_of_the_policys_issuer_names_the_tenant(door: Door) -> None:
    for _ in range(2):
        assert (await door.ask(request(door.token()))).tenant.name == "gold"
    assert door.issuer.fetches == 1


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "else"}, {"iss": "https://else"}, {"tenant": "nobody"}])
async def test_a_token_that_proves_nothing_does_not_pass_for_a_tenant_without_a_key(
    door: Door, claims: dict[str, object]
) -> None:
    error = await door.refused(request(door.token(**claims), x_tenant_id="free"))
    assert isinstance(error, UnauthorizedError)


async def test_while_the_issuer_is_away_its_tokens_wait(door: Door) -> None:
    class Away:
        async def fetch(self) -> Issued:
            raise KeysError("away")

    guard = Guard(ring=KeyRing(door.keys), published=lambda _: Away())
    with pytest.raises(KeysUnavailableError) as caught:
        await guard.identify(request(door.token()), door.config)
    assert caught.value.headers()["Retry-After"] == "5"


async def test_keys_come_and_end_without_a_restart(door: Door) -> None:
    assert (await door.ask(request("sk-new"))).tenant.name == "free"
    (door.keys / "gold" / "second").write_text("sk-new")
    door.clock.now += 2
    assert (await door.ask(request("sk-new"))).tenant.name == "gold"
    (door.keys / "gold" / "key").unlink()
    door.clock.now += 2
    assert (await door.ask(request("sk-gold"))).tenant.name == "free"


async def test_a_key_that_has_ended_is_told_so(door: Door) -> None:
    (door.keys / "gold" / "old").write_text("sk-old not-after=2020-01-01T00:00:00Z")
    error = await door.refused(request("sk-old", x_tenant_id="free"))
    assert isinstance(error, UnauthorizedError)
    assert "'old'" in error.message
    assert "sk-old" not in error.message


@pytest.mark.parametrize("authorization", ["Basic Zm9vOmJhcg==", "Bearer ", "Bearer " + "x" * 9000, "Bearer clé"])
async def test_what_is_no_bearer_secret_is_refused(door: Door, authorization: str) -> None:
    assert isinstance(await door.refused(request(authorization=authorization)), UnauthorizedError)


async def test_readers_come_from_the_policys_networks_alone(door: Door) -> None:
    door.config = config(allowCIDRs=["192.0.2.0/24"], trustedProxyCIDRs=["10.0.0.0/8"])
    assert (await door.ask(request("sk-gold", peer="10.0.0.1", x_forwarded_for="192.0.2.9"))).address == "192.0.2.9"
    for asked in (
        request("sk-gold", peer="198.51.100.1"),
        request("sk-gold", peer="198.51.100.1", x_forwarded_for="192.0.2.9"),
        request("sk-gold", peer="10.0.0.1", x_forwarded_for="198.51.100.1"),
    ):
        error = await door.refused(asked)
        assert isinstance(error, AddressNotAllowedError)
        assert error.status == 403
    assert door.guard.address(request(peer="10.0.0.1", x_forwarded_for="192.0.2.9"), door.config) == "192.0.2.9"


async def test_an_address_may_ask_so_often_and_no_more(door: Door) -> None:
    door.config = config(requestsPerSecondPerIP=3)
    for _ in range(3):
        await door.ask(request("sk-gold"))
    error = await door.refused(request("sk-silver"))
    assert isinstance(error, TooManyRequestsError)
    assert error.headers()["Retry-After"] == "1"
    await door.ask(request("sk-silver", peer="192.0.2.8"))
    door.clock.now += 1
    await door.ask(request("sk-silver"))


async def test_a_key_may_be_used_so_often_from_wherever(door: Door) -> None:
    door.config = config(requestsPerSecondPerKey=2)
    for last in (1, 2):
        await door.ask(request("sk-gold", peer=f"192.0.2.{last}"))
    assert isinstance(await door.refused(request("sk-gold", peer="192.0.2.3")), TooManyRequestsError)
    await door.ask(request("sk-silver", peer="192.0.2.3"))


async def test_another_policy_counts_at_once_and_what_was_spent_stays_spent(door: Door) -> None:
    door.config = config(requestsPerSecondPerKey=1)
    await door.ask(request("sk-gold"))
    door.config = config(generation=2, requestsPerSecondPerKey=1, allowCIDRs=["192.0.2.0/24"])
    assert isinstance(await door.refused(request("sk-gold")), TooManyRequestsError)
    assert isinstance(await door.refused(request("sk-gold", peer="198.51.100.1")), AddressNotAllowedError)
    door.config = config(generation=3, tenants=TENANTS[1:])
    assert (await door.ask(request("sk-gold"))).tenant.name == "free"
