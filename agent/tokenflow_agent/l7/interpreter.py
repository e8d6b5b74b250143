"""Turns what the kernel hands over into tallies, and keeps nothing else of it."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

from tokenflow_agent.l7 import http1, http2, mysql, postgres
from tokenflow_agent.l7.headers import allowed
from tokenflow_agent.l7.multiplexed import Multiplexed
from tokenflow_agent.l7.postgres import Statements
from tokenflow_agent.l7.prepared import Prepared
from tokenflow_agent.l7.record import Kind, Protocol, Record
from tokenflow_agent.l7.routes import Routes
from tokenflow_agent.l7.streams import Counter, Streams
from tokenflow_agent.l7.tally import HttpKey, HttpRow, Place, SqlKey, Tallies, Traced
from tokenflow_agent.l7.traceparent import trace_id
from tokenflow_api.telemetry_agent import Http
from tokenflow_api.windows import OTHER_ROUTE, Direction, HttpProtocol, SqlSystem

_Reader = Callable[[bytes, bytes, MutableMapping[bytes, str]], Statements]
_SYSTEMS: Final[Mapping[int, tuple[SqlSystem, _Reader]]] = {
    Protocol.POSTGRESQL: (SqlSystem.POSTGRESQL, postgres.statements),
    Protocol.MYSQL: (SqlSystem.MYSQL, mysql.statements),
}
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)


class Interpreter:
    """Reads records one after the other.

    Args:
        http: how requests are named, and which headers are not looked at.
        counter: counts the events of streams.
    """

    def __init__(self, http: Http, counter: Counter) -> None:
        self._http = http
        self._routes = Routes(http.path_templates)
        self._headers = allowed(http.redact_headers)
        self._streams = Streams(counter)
        self._prepared = Prepared()
        self._multiplexed = Multiplexed()
        self._tallies = Tallies()

    def follow(self, http: Http) -> None:
        """Name requests, and pass over headers, as ``http`` says from now on."""
        if http != self._http:
            self._http = http
            self._routes = Routes(http.path_templates)
            self._headers = allowed(http.redact_headers)

    def take(self, record: Record) -> None:
        """Count what a record tells; bytes that make no sense count as ``Malformed``."""
        if record.protocol == Protocol.HTTP1:
            self._http1(record)
        elif record.protocol == Protocol.HTTP2:
            self._http2(record)
        elif record.protocol in _SYSTEMS:
            self._sql(record)

    def drain(self) -> Tallies:
        """Return what was counted since the last call, also of streams that go on."""
        self._streams.take(self._tallies)
        tallies, self._tallies = self._tallies, Tallies()
        return tallies

    def _http1(self, record: Record) -> None:
        if record.kind == Kind.STREAM_ENDED:
            self._end_stream(record)
            return
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
            status=http1.outcome(code) if code and record.complete else http1.ABORTED,
        )
        if record.kind == Kind.STREAM_OPENED:
            self._streams.opened(record, key, self._tallies)
            return
        self._count(record, key)
        self._trace(key, request.traceparent, latency_us=record.latency_us)

    def _end_stream(self, record: Record) -> None:
        key = self._streams.ended(record, self._tallies)
        if key is None:
            self._tallies.lost["StreamUnknown"] += 1
            return
        row = self._count(record, key if record.complete else key._replace(status=http1.ABORTED))
        if row:
            row.streams += 1

    def _http2(self, record: Record) -> None:
        for ended in self._multiplexed.take(record, headers=self._headers, lost=self._tallies.lost):
            key = HttpKey(
                place=_place(record),
                tls=bool(record.tls),
                protocol=HttpProtocol.GRPC if ended.grpc else HttpProtocol.HTTP2,
                method=ended.method if ended.method in http1.METHODS else http1.OTHER_METHOD,
                route=self._routes.name(ended.target) if ended.target else OTHER_ROUTE,
                status=http2.outcome(ended),
            )
            latency_us = max(0, ended.last_ns - ended.started_ns) // 1000
            row = self._tallies.http_row(key)
            if row:
                row.add(latency_us=latency_us, first_byte_us=max(0, ended.first_ns - ended.started_ns) // 1000)
            self._trace(key, ended.traceparent, latency_us=latency_us)

    def _sql(self, record: Record) -> None:
        system, statements = _SYSTEMS[record.protocol]
        found = statements(record.request, record.response, self._prepared.on(record.connection))
        failed = found.failed or not record.complete
        for verb in found.verbs:
            row = self._tallies.sql_row(SqlKey(place=_place(record), system=system, verb=verb))
            if row:
                row.add(latency_us=record.latency_us, failed=failed)

    def _trace(self, key: HttpKey, traceparent: str, *, latency_us: int) -> None:
        trace = trace_id(traceparent) if traceparent and self._tallies.is_slow(latency_us) else None
        if trace:
            self._tallies.trace(Traced(key=key, trace_id=trace, latency_us=latency_us))

    def _count(self, record: Record, key: HttpKey) -> HttpRow | None:
        row = self._tallies.http_row(key)
        if row:
            row.add(latency_us=record.latency_us, first_byte_us=record.first_byte_us)
        return row


def _place(record: Record) -> Place:
    return Place(cgroup=record.cgroup, network=record.network, direction=_DIRECTIONS[record.dialed], port=record.port)
