"""What the replicas share in Redis.

All keys of a policy carry its uid in braces, so that they stay in one slot of a Cluster, and every key has
an expiry. Scripts take the time from Redis, so that replicas need not agree on it.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any, Final, Protocol, cast

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tokenflow_api.hints import NodeReport, Replica, Snapshot
from tokenflow_hintsvc.errors import StoreError

TIMEOUT_S: Final = 1.0
MAX_CONNECTIONS: Final = 256
"""Beyond it a call fails at once: a burst of telemetry must not make the leader wait."""
LOCK_TTL_MS: Final = 3000
REPLICA_TTL_MS: Final = 10_000
NODE_TTL_MS: Final = 180_000
"""Longer than the longest window of an agent: a node that is gone leaves the status after it."""
SNAPSHOT_TTL_MS: Final = 60_000
TERM_TTL_MS: Final = 86_400_000
SEEN_TTL_MS: Final = 3_600_000
SEEN_PER_REPORTER: Final = 1024
"""Sequence numbers remembered of each boot of a reporter; older ones count as seen."""
MAX_REPORTERS: Final = 4096

_INGEST: Final = """
local now = redis.call('TIME')
local floor = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local full = redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5])
if full and tonumber(ARGV[1]) < tonumber(floor[2]) then return 0 end
if redis.call('ZADD', KEYS[1], 'NX', ARGV[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[5]) - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[9] == '0' then return 2 end
if tonumber(ARGV[8]) < tonumber(redis.call('GET', KEYS[4]) or '0') then return 2 end
redis.call('SET', KEYS[4], ARGV[8], 'PX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[3], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[6])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[7]) - 1)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 3
"""

_ACQUIRE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = redis.call('TIME')
local term = now[1] * 1000 + math.floor(now[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if term <= last then term = last + 1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', term), 'PX', ARGV[3])
return term
"""

_RENEW: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

_PUBLISH: Final = """
local term = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[2]) < term then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
"""


class Ingested(IntEnum):
    """What became of a batch."""

    DUPLICATE = 0
    """It was seen before."""
    LATE = 2
    """It is counted, and does not speak for now."""
    LATEST = 3
    """It is what its reporter says now."""


class _Script(Protocol):
    def __call__(self, *, keys: list[str], args: list[Any]) -> Awaitable[Any]: ...


class Store:
    """The shared state of one policy's replicas.

    Every method raises ``StoreError`` when Redis does not answer within ``TIMEOUT_S``.
    """

    def __init__(self, url: str, *, policy_uid: str) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=5,
            max_connections=MAX_CONNECTIONS,
        )
        self._prefix = f"tf:{{{policy_uid}}}"
        self._ingest = cast("_Script", self._redis.register_script(_INGEST))
        self._acquire = cast("_Script", self._redis.register_script(_ACQUIRE))
        self._renew = cast("_Script", self._redis.register_script(_RENEW))
        self._release = cast("_Script", self._redis.register_script(_RELEASE))
        self._publish = cast("_Script", self._redis.register_script(_PUBLISH))

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Make sure that Redis answers."""
        async with _mapped():
            await self._redis.ping()

    async def ingest(
        self, *, reporter: str, boot_id: str, sequence: int, batch: bytes, at_ms: int, stale: bool, ttl_ms: int
    ) -> Ingested:
        """Take in a batch, and keep it as its reporter's latest unless it is older than that, or stale.

        Args:
            reporter: who sent it.
            boot_id: which start of the reporter.
            sequence: its number within that.
            batch: the batch as it travels.
            at_ms: when it was built, by this service's clock, in Unix milliseconds.
            stale: whether it is too old to speak for now, such as one that waited through an outage.
            ttl_ms: how long it speaks for now.
        """
        keys = [
            f"{self._prefix}:seen:{reporter}:{boot_id}",
            self._batch_key(reporter),
            f"{self._prefix}:reporters",
            f"{self._prefix}:at:{reporter}",
        ]
        args = [sequence, batch, ttl_ms, SEEN_TTL_MS, SEEN_PER_REPORTER, reporter, MAX_REPORTERS, at_ms, int(not stale)]
        async with _mapped():
            return Ingested(int(await self._ingest(keys=keys, args=args)))

    async def latest(self) -> list[bytes]:
        """Return the latest batch of every reporter that is not stale."""
        async with _mapped():
            reporters = cast("list[bytes]", await self._redis.zrange(f"{self._prefix}:reporters", 0, -1))
            if not reporters:
                return []
            batches = await self._redis.mget([self._batch_key(name.decode()) for name in reporters])
            return [batch for batch in cast("list[bytes | None]", batches) if batch is not None]

    async def report_node(self, report: NodeReport) -> None:
        """Keep what an agent says of its node's signals."""
        async with _mapped():
            key = f"{self._prefix}:node:{report.agent}@{report.node}"
            await self._redis.set(key, report.model_dump_json(), px=NODE_TTL_MS)

    async def nodes(self) -> list[NodeReport]:
        """Return the last report of every node that still reports."""
        async with _mapped():
            return [NodeReport.model_validate_json(value) for value in await self._all("node")]

    async def acquire(self, holder: str) -> int | None:
        """Try to become leader; return the new term, or ``None`` when there is a leader.

        Terms are times, so that they grow also over a Redis that lost all it knew.
        """
        keys = [f"{self._prefix}:leader", f"{self._prefix}:term"]
        async with _mapped():
            return int(await self._acquire(keys=keys, args=[holder, LOCK_TTL_MS, TERM_TTL_MS])) or None

    async def renew(self, holder: str) -> bool:
        """Stay leader; return false when somebody else is, or nobody."""
        async with _mapped():
            return bool(await self._renew(keys=[f"{self._prefix}:leader"], args=[holder, LOCK_TTL_MS]))

    async def release(self, holder: str) -> None:
        """Stop being leader at once."""
        async with _mapped():
            await self._release(keys=[f"{self._prefix}:leader"], args=[holder])

    async def leader(self) -> str:
        """Return the leader's name, empty when there is none."""
        async with _mapped():
            holder = cast("bytes | None", await self._redis.get(f"{self._prefix}:leader"))
        return holder.decode() if holder else ""

    async def publish(self, snapshot: Snapshot) -> bool:
        """Hand a snapshot to all replicas; return false when a newer leader has taken over."""
        keys = [f"{self._prefix}:snapshot", f"{self._prefix}:term"]
        args = [snapshot.model_dump_json(), snapshot.term, SNAPSHOT_TTL_MS, self._channel]
        async with _mapped():
            return bool(await self._publish(keys=keys, args=args))

    async def snapshots(self) -> AsyncIterator[Snapshot | None]:
        """Yield the present snapshot and each one that follows; ``None`` when none came for a while."""
        async with _mapped(), self._redis.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            present = await self._redis.get(f"{self._prefix}:snapshot")
            if present:
                yield Snapshot.model_validate_json(present)
            while True:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_S)
                yield Snapshot.model_validate_json(message["data"]) if message else None

    async def acknowledge(self, replica: Replica) -> None:
        """Say which generation a replica serves."""
        async with _mapped():
            await self._redis.set(
                f"{self._prefix}:replica:{replica.name}", replica.model_dump_json(), px=REPLICA_TTL_MS
            )

    async def withdraw(self, name: str) -> None:
        """Forget a replica that goes."""
        async with _mapped():
            await self._redis.delete(f"{self._prefix}:replica:{name}")

    async def replicas(self) -> list[Replica]:
        """Return the replicas that live, with the generation that each serves."""
        async with _mapped():
            return [Replica.model_validate_json(value) for value in await self._all("replica")]

    async def _all(self, kind: str) -> list[bytes]:
        keys = [key async for key in self._redis.scan_iter(match=f"{self._prefix}:{kind}:*", count=1000)]
        values = await self._redis.mget(sorted(keys)) if keys else []
        return [value for value in cast("list[bytes | None]", values) if value is not None]

    @property
    def _channel(self) -> str:
        return f"{self._prefix}:snapshots"

    def _batch_key(self, reporter: str) -> str:
        return f"{self._prefix}:batch:{reporter}"


@asynccontextmanager
async def _mapped() -> AsyncIterator[None]:
    """Turn what the Redis client raises into our own."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreError(f"Redis: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise StoreError(f"Redis holds a document of another version: {error.error_count()} fields differ") from error
