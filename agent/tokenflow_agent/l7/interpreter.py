"""Turns what the kernel hands over into tallies, and keeps nothing else of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tokenflow_agent.l7 import http1
from tokenflow_agent.l7.headers import allowed
from tokenflow_agent.l7.record import Protocol, Record
from tokenflow_agent.l7.routes import Routes
from tokenflow_agent.l7.tally import MAX_KEYS, HttpKey, HttpRow, Place, SqlKey, SqlRow
from tokenflow_agent.l7.traceparent import trace_id
from tokenflow_api.telemetry_agent import Http
from tokenflow_api.windows import Direction, HttpProtocol

MAX_TRACED: Final = 8
"""Exemplars of one window: its slowest traced requests."""
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)


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

    def http_row(self, key: HttpKey) -> HttpRow | None:
        """Return the row of a key; ``None`` where there are too many, which is counted."""
        row = self.http.get(key)
        if row is None:
            if len(self.http) >= MAX_KEYS:
                self.lost["KeysFull"] += 1
                return None
            row = self.http[key] = HttpRow()
        return row

    def trace(self, traced: Traced) -> None:
        """Keep it if it is among the slowest."""
        self.traced.append(traced)
        if len(self.traced) > MAX_TRACED:
            self.traced.remove(min(self.traced, key=lambda each: each.latency_us))


class Interpreter:
    """Reads records one after the other.

    Args:
        http: how requests are named, and which headers are not looked at.
    """

    def __init__(self, http: Http) -> None:
        self._routes = Routes(http.path_templates)
        self._headers = allowed(http.redact_headers)
        self._tallies = Tallies()

    def take(self, record: Record) -> None:
        """Count what a record tells; bytes that make no sense count as ``Malformed``."""
        if record.protocol == Protocol.HTTP1:
            self._http1(record)

    def drain(self) -> Tallies:
        """Return what was counted since the last call."""
        tallies, self._tallies = self._tallies, Tallies()
        return tallies

    def _http1(self, record: Record) -> None:
        request = http1.request(record.request, headers=self._headers)
        code = http1.status(record.response) if record.response else None
        if request is None or (record.response and code is None):
            self._tallies.lost["Malformed"] += 1
            return
        key = HttpKey(
            place=_place(record),
            tls=bool(record.tls),
            protocol=HttpProtocol.HTTP1,
            method=request.method,
            route=self._routes.name(request.target),
            status=http1.outcome(code, complete=bool(record.complete)) if code else http1.ABORTED,
        )
        row = self._tallies.http_row(key)
        if row is None:
            return
        row.add(latency_us=record.latency_us, first_byte_us=record.first_byte_us)
        trace = trace_id(request.traceparent)
        if trace:
            self._tallies.trace(Traced(key=key, trace_id=trace, latency_us=record.latency_us))


def _place(record: Record) -> Place:
    return Place(cgroup=record.cgroup, network=record.network, direction=_DIRECTIONS[record.dialed], port=record.port)
