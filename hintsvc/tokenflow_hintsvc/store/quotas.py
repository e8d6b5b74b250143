"""The quotas as all replicas share them: one script settles a replica's dealings with one tenant's quota."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, cast

import msgpack
from redis.exceptions import RedisError

from tokenflow_api.cluster import TenantUsage
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.quota.exchange import Answer, Left, Question, Ruling, slot
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.patience import within

DEADLINE_S: Final = 0.05
"""A request waits for its quota: what takes longer counts as out of reach."""
REPLICA_MS: Final = 3000
"""A replica that has not greeted for so long counts no more."""
SLOT_LEASE_MS: Final = 5000
_BITS: Final = 1 << 14
"""Reservations whose commits share a bitmap."""
_DAY_MS: Final = 86_400_000

_GREET: Final = """
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
redis.call('SET', KEYS[1], string.format('%.0f', now_us), 'NX')
redis.call('SET', KEYS[3], ARGV[2], 'NX')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
local now_ms = math.floor(now_us / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now_ms - ARGV[3]))
redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms), ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[3]), redis.call('ZCARD', KEYS[2]), now_us}
"""

_LAST_MINUTE: Final = """
local now = redis.call('TIME')
local oldest = math.floor((now[1] * 1000000 + now[2]) / 250000) - 240
local sums = {}
for index, key in ipairs(KEYS) do
  local fields, sum = redis.call('HGETALL', key), 0
  for at = 1, #fields, 2 do
    local bucket = tonumber(fields[at])
    if bucket and bucket >= oldest then sum = sum + tonumber(fields[at + 1]) end
  end
  sums[index] = sum
end
return sums
"""
"""What the meters of ``exchange.lua`` hold of the last minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeting:
    """What Redis says to a replica that shows up.

    Attributes:
        epoch: changes when Redis has forgotten what it knew; the Unix time in microseconds at which it began.
        key: that the policy's reservations are signed with.
        replicas: that live.
        now_us: Redis' clock.
    """

    epoch: str
    key: bytes
    replicas: int
    now_us: int


class Quotas:
    """The shared side of the quotas, as one start of a replica sees it.

    Args:
        connection: to Redis.
        boot: this start of the replica, in hexadecimal.
    """

    def __init__(self, connection: Connection, *, boot: str) -> None:
        self._connection = connection
        self._boot = boot
        self._greet = connection.script(_GREET)
        self._last_minute = connection.script(_LAST_MINUTE)
        self._exchange = connection.script((files(__package__) / "exchange.lua").read_text())

    async def greet(self, *, key: bytes) -> Greeting:
        """Say that this replica lives; ``key`` signs reservations where there is no key yet.

        Raises:
            StoreError: Redis does not answer in time.
        """
        keys = [self._key("epoch"), self._key("replicas"), self._key("key")]
        args = [self._boot, key, REPLICA_MS, _DAY_MS]
        async with mapped():
            epoch, agreed, replicas, now_us = await within(DEADLINE_S, self._greet(keys=keys, args=args))
        return Greeting(epoch=epoch.decode(), key=agreed, replicas=int(replicas), now_us=int(now_us))

    async def leave(self) -> None:
        """Say that this replica goes.

        Raises:
            StoreError: Redis does not answer in time.
        """
        async with mapped(deadline_s=DEADLINE_S):
            await self._connection.redis.zrem(self._key("replicas"), self._boot)

    async def last_minute(self, tenants: Sequence[str]) -> list[TenantUsage]:
        """Return what each tenant took within the last minute.

        Raises:
            StoreError: Redis does not answer in time.
        """
        keys = [self._key(what, tenant) for tenant in tenants for what in ("requests", "tokens")]
        async with mapped():
            sums = cast("list[int]", await self._last_minute(keys=keys, args=[]))
        return [
            TenantUsage(tenant=tenant, requests_last_minute=requests, tokens_last_minute=tokens)
            for tenant, requests, tokens in zip(tenants, sums[::2], sums[1::2], strict=True)
        ]

    async def exchange(self, questions: Sequence[Question], *, epoch: str) -> list[Answer | StoreError | None]:
        """Settle the dealings with several tenants' quotas.

        Returns:
            An answer to each question; ``None`` where Redis is in another epoch and did nothing.

        Raises:
            StoreError: Redis does not answer in time. It may have done all of it, some, or nothing.
        """
        calls = [self._call(question, epoch=epoch) for question in questions]
        async with mapped():
            answers = await within(DEADLINE_S, self._exchange.run_all(calls))
        return [
            StoreError(f"Redis: {type(answer).__name__}: {answer}") if isinstance(answer, RedisError) else _read(answer)
            for answer in answers
        ]

    def _call(self, question: Question, *, epoch: str) -> tuple[list[str], list[Any]]:
        keys = [
            *(self._key("epoch"), self._key("replicas")),
            *(self._key("requests", question.tenant), self._key("tokens", question.tenant)),
            *(self._key("slots", question.tenant), self._key("slots")),
            self._key("answers", self._boot),
            *(self._spent(commit.boot, commit.number) for commit in question.commits),
            *(self._spent(self._boot, number) for number in question.held),
        ]
        limits = question.limits
        asked = {
            "epoch": epoch,
            "tenant": question.tenant,
            "sequence": question.sequence,
            "requests": [limits.requests.per_minute, limits.requests.burst],
            "tokens": [limits.tokens.per_minute, limits.tokens.burst],
            "streams": limits.streams,
            "all_streams": limits.all_streams,
            "reservation_ms": limits.reservation_ms,
            "lease_ms": SLOT_LEASE_MS,
            "returned": [[lot.bucket, lot.requests, lot.tokens] for lot in question.returned],
            "left": list(question.left),
            "charged": [[lot.bucket, lot.requests, lot.tokens] for lot in question.charged],
            "held": [[number % _BITS, slot(self._boot, number)] for number in question.held],
            "commits": [
                [commit.number % _BITS, commit.bucket, commit.reserved, commit.used, commit.slot]
                for commit in question.commits
            ],
            "waiters": [[waiter.tokens, waiter.slot] for waiter in question.waiters],
            "wanted": [question.requests_wanted, question.tokens_wanted],
            "slots": list(question.slots),
        }
        return keys, [msgpack.packb(asked)]

    def _spent(self, boot: str, number: int) -> str:
        return self._key("spent", boot, str(number // _BITS))

    def _key(self, *parts: str) -> str:
        return self._connection.key("quota", *parts)


def _read(packed: bytes) -> Answer | None:
    answer = msgpack.unpackb(packed)
    if "over" in answer:
        return None
    requests_leased, tokens_leased, slots_leased = answer["leased"]
    return Answer(
        now_us=answer["now_us"],
        bucket=answer["bucket"],
        waiters=[Ruling(*ruling) for ruling in answer["waiters"]],
        requests_leased=requests_leased,
        tokens_leased=tokens_leased,
        slots_leased=slots_leased,
        first=answer["first"],
        requests=Left(*answer["requests"]),
        tokens=Left(*answer["tokens"]),
        streams=answer["streams"],
        streams_left=answer["streams_left"],
        replicas=answer["replicas"],
    )
