"""What took how long, for those who follow traces: kept until it is exported, dropped and counted beyond a bound."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from random import getrandbits
from typing import Final

from tokenflow_api.serving import trace
from tokenflow_api.serving.trace import Trace

MOST_WAITING: Final = 4096
_SERVER_ERROR: Final = 500

Attributes = Mapping[str, str | int | float | bool]


class Kind(Enum):
    """Whose work a span is."""

    INTERNAL = "internal"
    """This server's own."""
    SERVER = "server"
    """It answered a request of another program."""
    CLIENT = "client"
    """It asked another program, and waited for the answer."""


def new_span_id() -> str:
    """Return 16 random hexadecimal digits."""
    return f"{getrandbits(64) or 1:016x}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Some work that is over.

    Attributes:
        name: of few values: a route's template, never a path with names in it.
        trace: that it belongs to.
        began_unix_ns: when it began.
        ended_unix_ns: when it ended.
        attributes: by their OpenTelemetry names; no credentials, no query strings.
        kind: whose work it was.
        failed: whether it failed by a fault of ours.
    """

    name: str
    trace: Trace
    began_unix_ns: int
    ended_unix_ns: int
    attributes: Attributes = field(default_factory=dict)
    kind: Kind = Kind.INTERNAL
    failed: bool = False
    span_id: str = field(default_factory=new_span_id)


class Spans:
    """The spans that wait for their export. While nobody exports them none is kept.

    Args:
        dropped: called for each that finds no place.
    """

    def __init__(self, *, dropped: Callable[[], None]) -> None:
        self.wanted = False
        self._dropped = dropped
        self._waiting: deque[Span] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, span: Span) -> None:
        """Keep a span of a sampled trace; beyond the bound it is dropped and counted."""
        if not self.wanted or not span.trace.sampled:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped()
        else:
            self._waiting.append(span)

    def take(self) -> list[Span]:
        """Return what waits, and keep it no longer."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def answered(
        self, of: Trace, *, method: str, route: str, status: int, took_s: float, span_id: str | None = None
    ) -> None:
        """Keep the span of a request that was just answered, named as the HTTP conventions of OpenTelemetry say.

        Args:
            of: trace of the request.
            method: of the request.
            route: template of its path.
            status: of the answer.
            took_s: from its arrival to now.
            span_id: of the span, where other spans name it as theirs already.
        """
        if not self.wanted or not of.sampled:
            return
        ended = time.time_ns()
        failed = status >= _SERVER_ERROR
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        if failed:
            attributes["error.type"] = str(status)
        self.add(
            Span(
                name=f"{method} {route}",
                trace=of,
                began_unix_ns=ended - round(took_s * 1e9),
                ended_unix_ns=ended,
                attributes=attributes,
                kind=Kind.SERVER,
                span_id=span_id or new_span_id(),
                failed=failed,
            )
        )

    @contextmanager
    def work(self, name: str, attributes: Attributes) -> Iterator[None]:
        """Time some work of this replica's own, as a trace of its own."""
        began, clock = time.time_ns(), time.perf_counter_ns()
        of = trace.begin()
        failed = True
        try:
            yield
            failed = False
        finally:
            ended = began + time.perf_counter_ns() - clock
            self.add(
                Span(
                    name=name, trace=of, began_unix_ns=began, ended_unix_ns=ended, attributes=attributes, failed=failed
                )
            )
