"""The guard: who is let in as what, and what becomes of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hintsvc.support import runtime
from tests.serving.issuer import ISSUER, Clock, Issuer
from tokenflow_api.api_keys import KeyRing, hashed_line
from tokenflow_api.audit import AuditEntry
from tokenflow_api.runtime import Grant, Role, RuntimeConfig
from tokenflow_api.serving.credentials import Credentials
from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.keysets import Issued
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.guard.access import Guard
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.problems import ProblemError

TENANTS = [
    {"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}},
    {"name": "silver", "apiKeysSecretRef": {"name": "silver-keys"}},
    {"name": "free"},
]
JWT = {"issuer": "https://issuer.example", "audience": "tokenflow", "jwksURL": "https://issuer.example/keys"}
CLIENT = "192.0.2.7"


class Nowhere:
    async def append(self, entries: Sequence[AuditEntry]) -> None:
        del entries


def config(**security: object) -> RuntimeConfig:
    grants = [
        Grant(namespace="default", service_account=account, role=role)
        for account, role in (
            ("nodes-agent", Role.AGENT),
            ("demo-gateway", Role.GATEWAY),
            ("operator", Role.OPERATOR),
        )
    ]
    return runtime(tenants=TENANTS, security={"jwt": JWT} | security).model_copy(update={"grants": grants})


@dataclass
class Door:
    """A guard with its clocks, and the issuers that it knows."""

    guard: Guard
    cluster: Issuer
    issuer: Issuer
    clock: Clock
    wall: Clock
    keys: Path

    async def ask(self, secret: str = "", *, peer: str = CLIENT) -> Caller:
        return await self.guard.admit(peer=peer, authorization=f"Bearer {secret}" if secret else "")

    async def refused(self, secret: str = "", *, peer: str = CLIENT) -> ProblemError:
        with pytest.raises(ProblemError) as caught:
            await self.ask(secret, peer=peer)
        return caught.value

    def tenant_token(self, **claims: object) -> str:
        return self.issuer.signed(**{"aud": "tokenflow", "tenant": "gold"} | claims)


def opened(directory: Path, **security: object) -> Door:
    for tenant in ("gold", "silver"):
        (directory / tenant).mkdir()
        (directory / tenant / "key").write_text(hashed_line(f"sk-{tenant}"))
    cluster, issuer = Issuer(), Issuer("https://issuer.example")
    clock, wall = Clock(), Clock(time.time())
    credentials = Credentials(
        ring=KeyRing(directory, clock=clock),
        cluster=cluster,
        published=lambda _: issuer,
        figures=metrics.SERVING,
        now=wall,
    )
    guard = Guard(config(**security), credentials=credentials, audit=Audit(Nowhere(), replica="r"), clock=clock)
    return Door(guard, cluster, issuer, clock, wall, directory)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return opened(tmp_path)


async def test_callers_are_told_apart_by_what_they_carry(door: Door) -> None:
    everyone = frozenset({"gold", "silver", "free"})
    for secret, tenant, roles, readable in (
        ("", "", set(), {"free"}),
        ("sk-gold", "gold", set(), {"gold", "free"}),
        (door.tenant_token(), "gold", set(), {"gold", "free"}),
        (door.cluster.token(account="nodes-agent"), "", {Role.AGENT}, {"free"}),
        (door.cluster.token(account="demo-gateway"), "", {Role.GATEWAY}, everyone),
        (door.cluster.token(account="operator"), "", {Role.OPERATOR}, {"free"}),
        (door.cluster.token(account="stranger"), "", set(), {"free"}),
    ):
        caller = await door.ask(secret)
        assert (caller.tenant, caller.roles, caller.readable) == (tenant, roles, readable)


async def test_a_token_names_the_pod_and_the_node_that_it_is_bound_to(door: Door) -> None:
    account = (await door.ask(door.cluster.token())).account
    assert account is not None
    assert (account.pod, account.node) == ("nodes-agent-0", "node-1")


@pytest.mark.parametrize("secret", ["nobody", "a.b.c", "x" * 9000, "clé", "\udcff\udcfe"])
async def test_what_proves_nothing_is_refused_with_what_to_do(door: Door, secret: str) -> None:
    problem = await door.refused(secret)
    assert (problem.status, problem.code) == (401, "NotAuthenticated")
    assert "API key" in problem.remedy


@pytest.mark.parametrize("claims", [{"tenant": None}, {"tenant": 7}, {"tenant": "nobody"}, {"aud": "else"}, {"exp": 1}])
async def test_a_tenants_token_must_be_for_a_tenant_here_and_now(door: Door, claims: dict[str, object]) -> None:
    assert (await door.refused(door.tenant_token(**claims))).status == 401


async def test_another_claim_may_hold_the_tenant(tmp_path: Path) -> None:
    door = opened(tmp_path, jwt=JWT | {"tenantClaim": "https://example.com/team"})
    token = door.tenant_token(tenant=None, **{"https://example.com/team": "silver"})
    assert (await door.ask(token)).tenant == "silver"


async def test_a_service_accounts_token_opens_no_tenant_and_the_other_way_round(door: Door) -> None:
    assert (await door.refused(door.cluster.signed(aud="tokenflow", tenant="gold"))).status == 401
    assert (await door.refused(door.issuer.token())).status == 401


async def test_the_clusters_own_issuer_may_be_the_policys_too(tmp_path: Path) -> None:
    door = opened(tmp_path, jwt=JWT | {"issuer": ISSUER})
    door.issuer.name = ISSUER
    assert (await door.ask(door.tenant_token())).tenant == "gold"
    assert (await door.ask(door.cluster.token())).roles == {Role.AGENT}


async def test_a_token_of_an_issuer_that_the_policy_drops_meanwhile_is_refused(door: Door) -> None:
    fetch = door.issuer.fetch

    async def slow() -> Issued:
        door.guard.configure(config(jwt=None))
        return await fetch()

    door.issuer.fetch = slow  # type: ignore[method-assign]  # the moment that matters is within the fetch
    assert (await door.refused(door.tenant_token())).status == 401


async def test_a_token_that_nobody_can_judge_is_not_called_bad(door: Door) -> None:
    token = door.cluster.token()

    async def away() -> Issued:
        raise KeysError("away")

    door.cluster.fetch = away  # type: ignore[method-assign]  # the API server is
    for _ in range(2):
        problem = await door.refused(token)
        assert (problem.status, problem.code, problem.retry_after_s) == (503, "KeysUnavailable", 5)


async def test_an_open_stream_ends_with_the_issuer_that_it_was_opened_by(door: Door) -> None:
    caller = await door.ask(door.tenant_token())
    door.guard.configure(config(jwt=JWT | {"issuer": "https://other.example"}))
    with pytest.raises(ProblemError, match="ended"):
        door.guard.renew(caller)


async def test_a_proven_token_is_known_from_memory_until_it_ends(door: Door) -> None:
    header = f"Bearer {door.cluster.token()}"
    assert door.guard.recognise(peer=CLIENT, authorization=header) is None
    await door.guard.admit(peer=CLIENT, authorization=header)
    assert door.guard.recognise(peer=CLIENT, authorization=header)
    door.wall.now += 301
    assert door.guard.recognise(peer=CLIENT, authorization=header) is None


async def test_tenants_whose_secret_holds_no_key_are_told(door: Door) -> None:
    assert door.guard.keyless() == []
    for key in (door.keys / "silver").iterdir():
        key.unlink()
    door.guard.configure(config())
    door.guard.look()
    assert door.guard.keyless() == ["silver"]


async def test_a_key_ends_with_its_time(door: Door) -> None:
    line = f"{hashed_line('sk-short')} not-before=2020-01-01T00:00:00Z not-after=2100-01-01T00:00:00Z"
    (door.keys / "gold" / "short").write_text(line)
    door.clock.now += 2
    door.guard.look()
    caller = await door.ask("sk-short")
    assert caller.tenant == "gold"
    door.wall.now = 4_200_000_000
    assert not door.guard.again(caller)
    assert "'short'" in (await door.refused("sk-short")).detail
    with pytest.raises(ProblemError, match="ended"):
        door.guard.renew(caller)


async def test_a_key_that_is_taken_out_of_the_secret_ends_within_a_second(door: Door) -> None:
    caller = await door.ask("sk-gold")
    (door.keys / "gold" / "key").write_text(hashed_line("sk-new"))
    assert door.guard.again(caller)
    door.clock.now += 1.1
    door.guard.look()
    assert not door.guard.again(caller)
    assert (await door.refused("sk-gold")).status == 401
    assert (await door.ask("sk-new")).tenant == "gold"
    with pytest.raises(ProblemError):
        door.guard.renew(caller)


@pytest.mark.parametrize("change", ["given an end", "another tenant's"])
async def test_an_open_stream_ends_when_its_key_is_no_longer_what_it_was(door: Door, change: str) -> None:
    caller = await door.ask("sk-gold")
    if change == "given an end":
        (door.keys / "gold" / "key").write_text(f"{hashed_line('sk-gold')} not-after=2020-01-01T00:00:00Z")
    else:
        (door.keys / "gold" / "key").rename(door.keys / "silver" / "moved")
    door.clock.now += 1.1
    door.guard.look()
    assert not door.guard.again(caller)
    with pytest.raises(ProblemError, match="ended"):
        door.guard.renew(caller)


async def test_an_open_stream_loses_what_the_policy_takes_away(door: Door) -> None:
    gateway = await door.ask(door.cluster.token(account="demo-gateway"))
    assert door.guard.renew(gateway) is gateway
    door.guard.configure(config().model_copy(update={"grants": []}))
    assert door.guard.renew(gateway).readable == {"free"}


async def test_rates_bind_clients_by_address_and_by_key(tmp_path: Path) -> None:
    door = opened(tmp_path, requestsPerSecondPerIP=2, requestsPerSecondPerKey=3)
    await door.ask()
    await door.ask()
    problem = await door.refused()
    assert (problem.status, problem.code, problem.retry_after_s) == (429, "TooManyRequests", 1)
    assert "requestsPerSecondPerIP" in problem.remedy
    for last in range(3):
        await door.ask("sk-gold", peer=f"198.51.100.{last}")
    assert "requestsPerSecondPerKey" in (await door.refused("sk-gold", peer="198.51.100.9")).remedy
    caller = await door.ask("sk-silver", peer="203.0.113.1")
    assert door.guard.again(caller)
    with pytest.raises(ProblemError, match="TooManyRequests"):
        door.guard.again(caller)


async def test_forgeries_cost_their_sender_its_rate_and_the_issuer_nothing(tmp_path: Path) -> None:
    door = opened(tmp_path, requestsPerSecondPerIP=5)
    other = Issuer()
    other.identifier = "unknown"
    statuses = [(await door.refused(other.token())).status for _ in range(20)]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 5
    assert door.cluster.fetches == 1


async def test_rates_and_networks_leave_the_parts_of_tokenflow_alone(tmp_path: Path) -> None:
    door = opened(tmp_path, requestsPerSecondPerIP=1, requestsPerSecondPerKey=1, allowCIDRs=["10.0.0.0/8"])
    token = door.cluster.token(account="nodes-agent")
    for _ in range(5):
        assert (await door.ask(token)).roles == {Role.AGENT}
    stranger = await door.refused(door.cluster.token(account="stranger"), peer="192.0.2.8")
    assert (stranger.status, stranger.code) == (403, "AddressNotAllowed")
    assert (await door.refused("sk-gold", peer="192.0.2.9")).code == "AddressNotAllowed"
    assert (await door.ask("sk-gold", peer="10.0.0.1")).tenant == "gold"
