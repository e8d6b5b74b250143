"""Measures what becomes of a stream's bytes, from what the kernel says of its connection."""

import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tokenflow_api import tcp_info
from tokenflow_api.tcp_info import TcpInfo
from tokenflow_gateway.stream.laws import SocketLook
from tokenflow_gateway.stream.round_trips import recent_rtt_us

LEAST_LOST: Final = 3
"""Events sent again below which that may be chance."""
SPAN_S: Final = 1.0
"""Time that rates are averaged over: on a thin link single packets are a quarter of a second apart."""


@dataclass(eq=False, kw_only=True, slots=True)
class Connection:
    """A connection to a reader, which several streams share with HTTP/2.

    Attributes:
        sock: the socket.
        streams: streams open on it.
        written: bytes that they wrote to it, since the first of them.
    """

    sock: socket.socket
    streams: int = 0
    written: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What happened to one stream in a window; names and units as in ``StreamWindows``."""

    tokens: float = 0.0
    size: float = 0.0
    unsent_bytes: int = 0
    srtt_us: int = 0
    min_rtt_us: int = 0
    retransmits: float = 0.0


# Not frozen, which would make it three times as slow: there is one per look.
@dataclass(slots=True)
class _Mark:
    """Where a stream stood at one look."""

    at: float
    written: int
    tokens: int
    delivered: float
    shared: int


@dataclass(eq=False, kw_only=True, slots=True)
class Meter:
    """Measures one stream.

    Attributes:
        connection: that carries it.
        written: bytes that it wrote.
        tokens: tokens in them.
        events: writes that they came in.
        info: what the kernel said at the last look.
        rtt_us: round-trip time of what was acknowledged last, in microseconds.
        unsent_bytes: of the stream that waited for the network at the last look.
    """

    connection: Connection
    written: int = 0
    tokens: int = 0
    events: int = 0
    info: TcpInfo | None = None
    rtt_us: float = 0.0
    unsent_bytes: int = 0
    _marks: deque[_Mark] = field(default_factory=deque)
    _reported: float = 0.0
    _size: float = 0.0
    _retransmits: float = 0.0
    _outstanding: float = 0.0
    _last_size: int = 0
    _lost: float = 0.0

    def wrote(self, size: int, *, tokens: int) -> None:
        """Note that the stream wrote something."""
        self.written += size
        self._last_size = size
        self.events += 1
        self.tokens += tokens
        self.connection.written += size

    def look(self, now: float, *, waiting_bytes: int, held_bytes: int) -> SocketLook | None:
        """Ask the kernel; ``None`` where there is nothing to compare with, or the connection is closed.

        Bytes that several streams wrote to one connection are told apart by how much each wrote of late.

        Args:
            now: monotonic, in seconds.
            waiting_bytes: of the connection, that wait in this process for the kernel to take them.
            held_bytes: of the stream, that wait because the connection takes no more.
        """
        info = tcp_info.read(self.connection.sock)
        if info is None:
            return None
        before, self.info = self.info, info
        self.rtt_us = recent_rtt_us(before, info, known_us=self.rtt_us) if before else float(info.rtt_us)
        share = self._share()
        outstanding = (info.queued_bytes + waiting_bytes) * share
        self.unsent_bytes = round((info.unsent_bytes + waiting_bytes) * share) + held_bytes
        self._outstanding = outstanding + held_bytes
        delivered = max(self.written - outstanding, self._marks[-1].delivered if self._marks else 0.0)
        self._marks.append(_Mark(now, self.written, self.tokens, delivered, self.connection.written))
        while len(self._marks) > 2 and now - self._marks[1].at >= SPAN_S:  # noqa: PLR2004 - two make a span
            self._marks.popleft()
        if before is None:
            self._size += delivered
            return None
        self._size += (info.acked_bytes - before.acked_bytes) * share
        lost = (info.retransmits - before.retransmits) * share
        self._retransmits += lost
        self._lost += lost
        return self._averaged(info)

    def close(self, now: float, *, waiting_bytes: int, whole: bool) -> None:
        """Look a last time; of a stream that is ``whole``, what is still on its way counts as delivered."""
        self.look(now, waiting_bytes=waiting_bytes, held_bytes=0)
        if whole and self.info is not None and self._marks:
            self._size += self.written - self._marks[-1].delivered
            self._marks.append(_Mark(now, self.written, self.tokens, float(self.written), self.connection.written))
        self.unsent_bytes = 0

    def taken(self) -> Observation | None:
        """Return what happened since the last call, up to the last look; ``None`` before the first.

        Delivered tokens are those written, times the share of the bytes written that arrived: tokens of one stream
        are about equally long.
        """
        if self.info is None or not self._marks:
            return None
        last = self._marks[-1]
        tokens = last.tokens * last.delivered / last.written if last.written else 0.0
        observation = Observation(
            tokens=max(0.0, tokens - self._reported),
            size=self._size,
            unsent_bytes=self.unsent_bytes,
            srtt_us=round(self.rtt_us),
            min_rtt_us=self.info.min_rtt_us,
            retransmits=self._retransmits,
        )
        self._reported = max(self._reported, tokens)
        self._size = self._retransmits = 0.0
        return observation

    def _share(self) -> float:
        if self.connection.streams <= 1:
            return 1.0
        mark = self._marks[0] if self._marks else _Mark(0.0, 0, 0, 0.0, 0)
        written = self.connection.written - mark.shared
        return (self.written - mark.written) / written if written else 1 / self.connection.streams

    def _averaged(self, info: TcpInfo) -> SocketLook | None:
        first, last = self._marks[0], self._marks[-1]
        if last.at <= first.at:
            return None
        tokens, written = last.tokens - first.tokens, last.written - first.written
        if not tokens:
            tokens, written = last.tokens, last.written
        delivered = (last.delivered - first.delivered) / (last.at - first.at)
        # The last event may just have left, and an empty path holds what was sent within a round trip.
        in_flight = self._last_size + delivered * info.min_rtt_us / 1e6
        backlog = max(0.0, self._outstanding - in_flight)
        if backlog and last.delivered == self._marks[-2].delivered:
            # A standstill is no rate: once it is over, measuring starts anew.
            delivered = 0.0
            self._marks = deque((last,))
        return SocketLook(
            delivered=delivered,
            backlog_bytes=backlog,
            bytes_per_token=written / tokens if tokens else 0.0,
            loss=self._lost / self.events if self._lost >= LEAST_LOST else 0.0,
        )
