"""Keepers of quotas with a real Redis, whose clock the test sets, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from tests.hintsvc.support import RedisServer, runtime
from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitReply, CommitRequest
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.quota.keeper import Keeper
from tokenflow_hintsvc.quota.usage import UsageBook
from tokenflow_hintsvc.store import quotas
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.quotas import Quotas

START_US = 1_800_000_000_000_000
OUTER = ("mode", "failureMode", "gateway", "tenants", "hintService")


def policy(*, generation: int = 1, **fields: Any) -> RuntimeConfig:
    """One tenant, ``gold``, with these fields; those of the policy itself go there."""
    outer = {name: fields.pop(name) for name in OUTER if name in fields}
    return runtime(generation=generation, **({"tenants": [{"name": "gold"} | fields]} | outer))


@dataclass
class Clock:
    """The time of all replicas and of Redis."""

    url: str
    us: int = START_US

    def __call__(self) -> int:
        return self.us

    async def advance(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)
        await self.tell()

    async def tell(self) -> None:
        connection = Connection(self.url, policy_uid="policy-1")
        await connection.redis.set("clock", self.us)
        await connection.close()


class TimedQuotas(Quotas):
    """The real scripts, but for the clock that they read."""

    def __init__(self, connection: Connection, *, boot: str) -> None:
        super().__init__(connection, boot=boot)
        self._greet = connection.script(_timed(quotas._GREET))
        self._exchange = connection.script(_timed((files(quotas.__package__) / "exchange.lua").read_text()))


def _timed(lua: str) -> str:
    us = "tonumber(redis.call('GET', 'clock'))"
    read = f"{{math.floor({us} / 1000000), {us} % 1000000}}"
    timed = lua.replace("redis.call('TIME')", read)
    assert timed != lua
    return timed


@dataclass
class Replica:
    """A keeper whose rounds the test makes."""

    keeper: Keeper
    connection: Connection
    usage: UsageBook
    held_off: dict[str, int] = field(default_factory=dict)

    async def admit(
        self, *, tenant: str = "gold", max_tokens: int = 100, input_tokens: int = 0, stream: bool = False
    ) -> AdmitReply:
        asked = AdmitRequest(tenant=tenant, max_tokens=max_tokens, input_tokens=input_tokens, stream=stream)
        return await self.meanwhile(self.keeper.admit(asked))

    async def commit(
        self, admitted: AdmitReply | str, *, output_tokens: int = 0, input_tokens: int = 0, duration_ms: int = 0
    ) -> CommitReply:
        reservation = admitted if isinstance(admitted, str) else admitted.reservation
        done = CommitRequest(
            reservation=reservation, output_tokens=output_tokens, input_tokens=input_tokens, duration_ms=duration_ms
        )
        return await self.meanwhile(self.keeper.commit(self.keeper.read(reservation), done))

    async def meanwhile(self, work: Any) -> Any:
        """Make a round while somebody waits."""
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        while not task.done():
            await self.keeper.link.round()
            await asyncio.sleep(0)
        return await task

    async def die(self) -> None:
        """Vanish without a word."""
        await self.connection.close()


def replica(clock: Clock, config: RuntimeConfig, *, number: int = 1) -> Replica:
    connection = Connection(clock.url, policy_uid="policy-1")
    boot = number.to_bytes(8, "big")
    usage = UsageBook(now_ms=lambda: clock() // 1000)
    held_off: dict[str, int] = {}
    keeper = Keeper(
        TimedQuotas(connection, boot=boot.hex()),
        boot=boot,
        config=config,
        held_off_ms=lambda tenant: held_off.get(tenant, 0),
        usage=usage,
        monotonic_us=clock,
    )
    return Replica(keeper, connection, usage, held_off)


@asynccontextmanager
async def replicas(
    server: RedisServer, config: RuntimeConfig, *, number: int = 1
) -> AsyncIterator[tuple[Clock, list[Replica]]]:
    """Replicas that have told Redis all they know."""
    clock = Clock(server.url)
    await clock.tell()
    running = [replica(clock, config, number=index + 1) for index in range(number)]
    await greeted(clock, running)
    try:
        yield clock, running
    finally:
        for one in running:
            await one.die()


async def greeted(clock: Clock, running: list[Replica]) -> None:
    for _ in range(4):
        for one in running:
            await one.keeper.link.round()
        await clock.advance(0.4)
