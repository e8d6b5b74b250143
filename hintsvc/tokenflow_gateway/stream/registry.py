"""The streams that are open."""

import socket
from collections import Counter

from tokenflow_api.windows import StreamWindows
from tokenflow_gateway.stream.guide import Guide
from tokenflow_gateway.stream.meters import Connection, Meter
from tokenflow_gateway.stream.opening import Opening
from tokenflow_gateway.stream.paced import PacedStream
from tokenflow_gateway.stream.view import StreamView
from tokenflow_gateway.stream.wheel import Wheel
from tokenflow_gateway.stream.windows import Place, WindowTable


class StreamRegistry:
    """Opens streams, and knows them until they end.

    Args:
        wheel: runs their timers.
        guide: says how they run.
    """

    def __init__(self, *, wheel: Wheel, guide: Guide) -> None:
        self._wheel = wheel
        self._guide = guide
        self._streams: set[PacedStream] = set()
        self._of: Counter[str] = Counter()
        self._connections: dict[socket.socket, Connection] = {}
        self._table = WindowTable()
        self._drain_at: float | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def of(self, tenant: str) -> int:
        """Return how many streams a tenant has."""
        return self._of[tenant]

    def open(self, opening: Opening) -> PacedStream:
        """Return a stream that is yet to start, and counts already: what its reader is told goes by it, too."""
        sock = opening.answer.socket
        meter = None if sock is None else self._meter(sock)
        stream = PacedStream(opening, wheel=self._wheel, guide=self._guide, meter=meter)
        self._streams.add(stream)
        self._of[stream.route.tenant] += 1
        stream.ended.add_done_callback(lambda _: self._close(stream))
        if self._drain_at is not None:
            stream.drain(self._drain_at)
        return stream

    def windows(self, start_unix_ms: int, *, place: Place) -> StreamWindows:
        """Return what happened on each route since the last call, up to the last look at each connection."""
        for stream in self._streams:
            observation = stream.meter.taken() if stream.meter else None
            if observation:
                self._table.add(stream.route, observation, streams=1)
        table, self._table = self._table, WindowTable()
        return table.windows(start_unix_ms, place=place)

    def views(self) -> list[StreamView]:
        """Return how each stream is doing."""
        return [stream.view() for stream in self._streams]

    def drain(self, deadline: float) -> None:
        """Have all streams end by ``deadline``, of the wheel's clock, those among them that are yet to open."""
        self._drain_at = deadline
        for stream in self._streams:
            stream.drain(deadline)

    def _meter(self, sock: socket.socket) -> Meter:
        connection = self._connections.setdefault(sock, Connection(sock=sock))
        connection.streams += 1
        return Meter(connection=connection)

    def _close(self, stream: PacedStream) -> None:
        self._streams.discard(stream)
        self._of[stream.route.tenant] -= 1
        if stream.meter is None:
            return
        observation = stream.meter.taken()
        if observation:
            self._table.add(stream.route, observation, streams=0)
        connection = stream.meter.connection
        connection.streams -= 1
        if not connection.streams:
            del self._connections[connection.sock]
