"""No minute ever sees more than the limit and the stated lease, whatever happens to replicas and to Redis."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bench.proc import free_port
from tests.hintsvc.quota.support import Clock, Replica, greeted, policy, replica
from tests.hintsvc.support import RedisServer
from tokenflow_api.quotas.limits import LEASE_PERCENT, Limits
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.errors import ReservationError

pytestmark = pytest.mark.redis

REPLICAS = 3
MINUTE_US = 60_000_000
# Deny: what replicas admit on their own while Redis is away is another law.
CONFIGS = [
    policy(failureMode="Deny", requestsPerMinute=20, tokensPerMinute=1000, burstTokens=400, maxTokensPerRequest=400),
    policy(
        failureMode="Deny", requestsPerMinute=3000, tokensPerMinute=90_000, burstTokens=9000, maxTokensPerRequest=60
    ),
]

steps = st.one_of(
    st.tuples(st.just("admit"), st.integers(0, REPLICAS - 1), st.integers(1, 400), st.integers(1, 40)),
    st.tuples(st.just("commit"), st.integers(0, REPLICAS - 1), st.integers(0, 1000), st.integers(0, 100)),
    st.tuples(st.just("advance"), st.integers(1, 3000)),
    st.tuples(st.just("round"), st.integers(0, REPLICAS - 1)),
    st.tuples(st.just("die"), st.integers(0, REPLICAS - 1)),
    st.tuples(st.just("forget")),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(free_port(), Path(tmp_path_factory.mktemp("redis")))
    running.start()
    yield running
    running.stop()


@dataclass
class Admitted:
    """One admitted request."""

    at_us: int
    replica: Replica
    reservation: str
    reserved: int
    returned: int = 0
    committed: bool = False
    forgotten: bool = False


@dataclass
class World:
    """Replicas, Redis, and all that was admitted."""

    clock: Clock
    config: RuntimeConfig
    running: list[Replica]
    log: list[Admitted] = field(default_factory=list)
    boots: int = REPLICAS
    forgot: bool = False

    async def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("admit", index, tokens, times):
                for _ in range(times):
                    await self._admit(self.running[index], tokens)
            case ("commit", index, which, percent):
                await self._commit(self.running[index], which, percent)
            case ("advance", milliseconds):
                await self.clock.advance(milliseconds / 1000)
                for one in self.running:
                    await one.keeper.link.round()
            case ("round", index):
                await self.running[index].keeper.link.round()
            case ("die", index):
                await self.running[index].die()
                self.boots += 1
                self.running[index] = replica(self.clock, self.config, number=self.boots)
                await self.running[index].keeper.link.round()
            case ("forget",):
                await self.running[0].connection.redis.flushall()
                await self.clock.tell()
                self.forgot = True
                for one in self.log:
                    # Nobody is left who knows of it.
                    one.forgotten |= one.replica not in self.running

    async def _admit(self, one: Replica, tokens: int) -> None:
        most = self.config.spec.tenants[0].max_tokens_per_request
        reply = await one.admit(max_tokens=min(tokens, most))
        if reply.admitted:
            self.log.append(Admitted(self.clock.us, one, reply.reservation, reply.reserved_tokens))

    async def _commit(self, one: Replica, which: int, percent: int) -> None:
        if not self.log:
            return
        admitted = self.log[which % len(self.log)]
        if admitted.committed and self.forgot:
            # Which reservations were committed is forgotten too: who commits twice then is counted twice.
            return
        used = admitted.reserved * percent // 100
        try:
            reply = await one.commit(admitted.reservation, output_tokens=used)
        except ReservationError:
            # Redis forgot the key more than once, and a replica that never knew it came first.
            assert self.forgot
            return
        if admitted.committed:
            assert not reply.committed
        elif reply.committed:
            admitted.committed = True
            admitted.returned = admitted.reserved - used

    def check(self) -> None:
        limits = Limits.of(self.config.spec.tenants[0], self.config.spec)
        recent = [one for one in self.log if one.at_us > self.clock.us - MINUTE_US and not one.forgotten]
        lease = limits.requests.per_minute * LEASE_PERCENT / 100
        assert len(recent) <= limits.requests.per_minute + lease
        lease = limits.tokens.per_minute * LEASE_PERCENT / 100
        assert sum(one.reserved - one.returned for one in recent) <= limits.tokens.per_minute + lease


@settings(max_examples=40, deadline=None)
@given(config=st.sampled_from(CONFIGS), script=st.lists(steps, max_size=40))
def test_no_minute_is_exceeded(server: RedisServer, config: RuntimeConfig, script: list[tuple[Any, ...]]) -> None:
    asyncio.run(_play(server, config, script))


async def _play(server: RedisServer, config: RuntimeConfig, script: list[tuple[Any, ...]]) -> None:
    clock = Clock(server.url)
    running = [replica(clock, config, number=index + 1) for index in range(REPLICAS)]
    await running[0].connection.redis.flushall()
    await clock.tell()
    await greeted(clock, running)
    world = World(clock, config, running)
    try:
        for step in script:
            await world.do(step)
            world.check()
    finally:
        for one in world.running:
            await one.die()
