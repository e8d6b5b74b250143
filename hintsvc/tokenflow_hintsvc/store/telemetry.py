"""Telemetry on its way to the leader: each batch once, and the newest of each reporter."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, cast

from redis.exceptions import RedisError

from tokenflow_api.cluster import NodeReport
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store import history
from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.history import History
from tokenflow_hintsvc.store.register import PUT, Register

NODE_TTL_MS: Final = 180_000
"""Longer than the longest window of an agent: a node that is gone leaves the status after it."""
SEEN_TTL_MS: Final = 3_600_000
SEEN_PER_REPORTER: Final = 1024
"""Sequence numbers remembered of each boot of a reporter; older ones count as seen."""
MAX_REPORTERS: Final = 4096

_INGEST: Final = (
    history.APPEND
    + PUT
    + """
local sequence, seen = tonumber(ARGV[1]), tonumber(ARGV[8])
local newest = redis.call('BITFIELD', KEYS[1], 'GET', 'u63', 0)[1]
if sequence <= newest - seen then return 0 end
if sequence - newest >= seen then redis.call('DEL', KEYS[1]) else
  for skipped = newest + 1, sequence - 1 do redis.call('SETBIT', KEYS[1], 64 + skipped % seen, 0) end
end
local slot = 64 + sequence % seen
if sequence > newest then
  redis.call('BITFIELD', KEYS[1], 'SET', 'u63', 0, sequence)
elseif redis.call('GETBIT', KEYS[1], slot) == 1 then return 0 end
redis.call('SETBIT', KEYS[1], slot, 1)
redis.call('PEXPIRE', KEYS[1], ARGV[9])

append(KEYS[6], KEYS[7], ARGV[2], ARGV[3], tonumber(ARGV[10]), ARGV[11])

if ARGV[4] == '' or tonumber(ARGV[3]) < tonumber(redis.call('HGET', KEYS[2], 'at') or '-inf') then return 2 end
redis.call('HSET', KEYS[2], 'at', ARGV[3], 'batch', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
redis.call('ZADD', KEYS[3], now_us + ARGV[4] * 1000, ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_us)
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[12]) - 1)
redis.call('PEXPIRE', KEYS[3], ARGV[9])
if ARGV[6] ~= '' then put(KEYS[4], KEYS[5], ARGV[13], ARGV[6], tonumber(ARGV[7])) end
return 3
"""
)
"""The window of sequence numbers is a ring of bits behind the newest number, as in RFC 6479."""

_LIVE: Final = """
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now_us), '+inf', 'WITHSCORES')
"""


class Ingested(IntEnum):
    """What became of a batch."""

    DUPLICATE = 0
    """It was seen before."""
    LATE = 2
    """It is in the history, and does not speak for now."""
    LATEST = 3
    """It is what its reporter says now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A batch to take in.

    Attributes:
        reporter: who sent it.
        boot_id: which start of the reporter.
        sequence: its number within that.
        batch: what it says, and when.
        current_ms: how long it speaks for now; 0 where it does not.
        report: what an agent says of its node, kept beyond that.
    """

    reporter: str
    boot_id: str
    sequence: int
    batch: StoredBatch
    current_ms: int
    report: NodeReport | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Latest:
    """What a reporter says now.

    Attributes:
        reporter: who said it.
        identity: tells it from all others of the reporter: what is worked out of a batch need be so once.
        batch: what it said.
    """

    reporter: str
    identity: bytes
    batch: StoredBatch


class Telemetry:
    """The batches of all reporters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._history = History(connection)
        self._nodes = Register(connection, "nodes", ttl_ms=NODE_TTL_MS)
        self._ingest = connection.script(_INGEST)
        self._live = connection.script(_LIVE)
        self._latest: dict[str, Latest] = {}

    async def ingest(self, deliveries: Sequence[Delivery]) -> list[Ingested | StoreError]:
        """Take in batches: each into the history, and as its reporter's latest unless that is newer.

        Returns:
            What became of each; an error where Redis refused that one.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            answers = await self._ingest.run_all([self._call(delivery) for delivery in deliveries])
        return [_outcome(answer) for answer in answers]

    async def latest(self) -> list[Latest]:
        """Return the latest batch of every reporter that speaks for now.

        Only what is new since the last call crosses the network.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            live = cast("list[bytes]", await self._live(keys=[self._connection.key("reporters")], args=[]))
            stamps = {name.decode(): stamp for name, stamp in zip(live[::2], live[1::2], strict=True)}
            known = self._latest
            changed = [name for name, stamp in stamps.items() if name not in known or known[name].identity != stamp]
            found = {name: known[name] for name in stamps.keys() - set(changed)}
            if changed:
                async with self._connection.redis.pipeline(transaction=False) as pipeline:
                    for name in changed:
                        pipeline.hmget(self._batch_key(name), "at", "batch")
                    for name, (at, batch) in zip(changed, await pipeline.execute(), strict=True):
                        if batch is not None:
                            stored = StoredBatch.unpack(batch, at_unix_ms=int(at))
                            found[name] = Latest(reporter=name, identity=stamps[name], batch=stored)
        self._latest = found
        return [found[name] for name in sorted(found)]

    async def nodes(self) -> list[NodeReport]:
        """Return the last report of every node that still reports."""
        documents = await self._nodes.all()
        async with mapped():
            return [NodeReport.model_validate_json(document) for document in documents]

    def _call(self, delivery: Delivery) -> tuple[list[str], list[Any]]:
        key = self._connection.key
        report = delivery.report
        keys = [
            key("seen", delivery.reporter, delivery.boot_id),
            self._batch_key(delivery.reporter),
            key("reporters"),
            *self._nodes.keys,
            *self._history.keys,
        ]
        args = [
            delivery.sequence,
            delivery.batch.pack(),
            delivery.batch.at_unix_ms,
            delivery.current_ms or "",
            delivery.reporter,
            report.model_dump_json() if report else "",
            NODE_TTL_MS,
            SEEN_PER_REPORTER,
            SEEN_TTL_MS,
            history.MAX_BYTES,
            history.TTL_MS,
            MAX_REPORTERS,
            f"{report.agent}@{report.node}" if report else "",
        ]
        return keys, args

    def _batch_key(self, reporter: str) -> str:
        return self._connection.key("batch", reporter)


def _outcome(answer: int | RedisError) -> Ingested | StoreError:
    return Ingested(answer) if isinstance(answer, int) else StoreError(f"Redis: {type(answer).__name__}: {answer}")
