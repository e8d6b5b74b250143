"""Telemetry on its way to the leader: the newest batch of each reporter."""

from enum import IntEnum
from typing import Final, cast

from tokenflow_api.hints import NodeReport
from tokenflow_hintsvc.store.connection import Connection, mapped

_NODE_TTL_MS: Final = 180_000
"""Longer than the longest window of an agent: a node that is gone leaves the status after it."""
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


class Ingested(IntEnum):
    """What became of a batch."""

    DUPLICATE = 0
    """It was seen before."""
    LATE = 2
    """It is counted, and does not speak for now."""
    LATEST = 3
    """It is what its reporter says now."""


class Telemetry:
    """The batches of all reporters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ingest = connection.script(_INGEST)

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
            self._connection.key("seen", reporter, boot_id),
            self._batch_key(reporter),
            self._connection.key("reporters"),
            self._connection.key("at", reporter),
        ]
        args = [sequence, batch, ttl_ms, SEEN_TTL_MS, SEEN_PER_REPORTER, reporter, MAX_REPORTERS, at_ms, int(not stale)]
        async with mapped():
            return Ingested(int(await self._ingest(keys=keys, args=args)))

    async def latest(self) -> list[bytes]:
        """Return the latest batch of every reporter that is not stale."""
        async with mapped():
            reporters = cast(
                "list[bytes]", await self._connection.redis.zrange(self._connection.key("reporters"), 0, -1)
            )
            if not reporters:
                return []
            batches = await self._connection.redis.mget([self._batch_key(name.decode()) for name in reporters])
            return [batch for batch in cast("list[bytes | None]", batches) if batch is not None]

    async def report_node(self, report: NodeReport) -> None:
        """Keep what an agent says of its node's signals."""
        async with mapped():
            key = self._connection.key("node", f"{report.agent}@{report.node}")
            await self._connection.redis.set(key, report.model_dump_json(), px=_NODE_TTL_MS)

    async def nodes(self) -> list[NodeReport]:
        """Return the last report of every node that still reports."""
        values = await self._connection.values("node")
        async with mapped():
            return [NodeReport.model_validate_json(value) for value in values]

    def _batch_key(self, reporter: str) -> str:
        return self._connection.key("batch", reporter)
