"""Counts exchanges by what may be told of them."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from operator import add
from typing import Final, NamedTuple, Self

from tokenflow_agent.tcp.histogram import BUCKETS, bucket
from tokenflow_api.windows import MAX_ROWS, Direction, HttpProtocol, SqlSystem

MAX_TRACED: Final = 8
"""Exemplars of one window: its slowest traced requests."""
MAX_KEYS: Final = 2 * MAX_ROWS
"""Rows counted in one window, before those of no pod are taken out."""


def no_samples() -> "array[int]":
    """Return an empty histogram."""
    return array("L", bytes(BUCKETS * array("L").itemsize))


class Place(NamedTuple):
    """Where an exchange was seen.

    Attributes:
        cgroup: of the socket.
        network: inode of the socket's network namespace.
        direction: which side of the connection that is.
        port: of the listening side.
    """

    cgroup: int
    network: int
    direction: Direction
    port: int


class HttpKey(NamedTuple):
    """What requests are counted by."""

    place: Place
    tls: bool
    protocol: HttpProtocol
    method: str
    route: str
    status: str


class SqlKey(NamedTuple):
    """What statements are counted by."""

    place: Place
    system: SqlSystem
    verb: str


@dataclass(slots=True)
class HttpRow:
    """Requests of one key in one window; times in microseconds."""

    requests: int = 0
    latency_sum_us: int = 0
    latencies: "array[int]" = field(default_factory=no_samples)
    first_bytes: "array[int]" = field(default_factory=no_samples)
    streams: int = 0
    first_events: "array[int]" = field(default_factory=no_samples)
    gaps: "array[int]" = field(default_factory=no_samples)
    events: int = 0
    event_bytes: int = 0

    def add(self, *, latency_us: int, first_byte_us: int) -> None:
        """Count a request that ended."""
        self.requests += 1
        self.latency_sum_us += latency_us
        self.latencies[bucket(latency_us)] += 1
        self.first_bytes[bucket(first_byte_us)] += 1

    def merge(self, other: Self) -> None:
        """Count what the other counted, too."""
        self.requests += other.requests
        self.latency_sum_us += other.latency_sum_us
        self.latencies = _sum(self.latencies, other.latencies)
        self.first_bytes = _sum(self.first_bytes, other.first_bytes)
        self.streams += other.streams
        self.first_events = _sum(self.first_events, other.first_events)
        self.gaps = _sum(self.gaps, other.gaps)
        self.events += other.events
        self.event_bytes += other.event_bytes


@dataclass(slots=True)
class SqlRow:
    """Statements of one key in one window; times in microseconds."""

    statements: int = 0
    errors: int = 0
    latency_sum_us: int = 0
    latencies: "array[int]" = field(default_factory=no_samples)

    def add(self, *, latency_us: int, failed: bool) -> None:
        """Count a statement that ended."""
        self.statements += 1
        self.errors += failed
        self.latency_sum_us += latency_us
        self.latencies[bucket(latency_us)] += 1

    def merge(self, other: Self) -> None:
        """Count what the other counted, too."""
        self.statements += other.statements
        self.errors += other.errors
        self.latency_sum_us += other.latency_sum_us
        self.latencies = _sum(self.latencies, other.latencies)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traced:
    """A traced request."""

    key: HttpKey
    trace_id: str
    latency_us: int


@dataclass(slots=True)
class Tallies:
    """What was counted in one window.

    Attributes:
        http: requests.
        sql: statements.
        traced: the slowest traced requests.
        lost: exchanges that were not counted, by reason.
    """

    http: dict[HttpKey, HttpRow] = field(default_factory=dict)
    sql: dict[SqlKey, SqlRow] = field(default_factory=dict)
    traced: list[Traced] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def places(self) -> set[Place]:
        """Where anything was seen."""
        return {key.place for key in self.http} | {key.place for key in self.sql}

    def http_row(self, key: HttpKey) -> HttpRow | None:
        """Return the row of a key; ``None`` where there are too many, which is counted."""
        row = self.http.get(key)
        if row is None:
            if len(self.http) >= MAX_KEYS:
                self.lost["KeysFull"] += 1
                return None
            row = self.http[key] = HttpRow()
        return row

    def sql_row(self, key: SqlKey) -> SqlRow | None:
        """Return the row of a key; ``None`` where there are too many, which is counted."""
        row = self.sql.get(key)
        if row is None:
            if len(self.sql) >= MAX_KEYS:
                self.lost["KeysFull"] += 1
                return None
            row = self.sql[key] = SqlRow()
        return row

    def is_slow(self, latency_us: int) -> bool:
        """Tell whether a request is among the slowest, were it traced."""
        return len(self.traced) < MAX_TRACED or latency_us > self.traced[0].latency_us

    def trace(self, traced: Traced) -> None:
        """Keep it, and the slowest of the others; the fastest of them stands first."""
        self.traced = sorted([*self.traced, traced], key=lambda each: each.latency_us)[-MAX_TRACED:]


def _sum(one: "array[int]", other: "array[int]") -> "array[int]":
    return array(one.typecode, map(add, one, other))
