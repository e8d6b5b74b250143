"""The streams of one connection of HTTP/2, and how much of their bodies is let come."""

from dataclasses import dataclass

from h2.connection import H2Connection
from h2.events import DataReceived

from tokenflow_gateway.front.answer2 import Answer2
from tokenflow_gateway.front.body import Body


@dataclass(kw_only=True, slots=True)
class _Stream:
    """A request and its answer.

    Attributes:
        body: of the request.
        answer: to it.
        unread: bytes that the sender is not told yet to have been read.
    """

    body: Body
    answer: Answer2
    unread: int = 0


class Streams:
    """The streams under way, the one that has sent last at the end.

    A sender's windows open only for what somebody wants to read: the rest of a body waits at its sender.

    Args:
        h2: tells senders that they may go on.
    """

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._streams: dict[int, _Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, number: int) -> bool:
        return number in self._streams

    def open(self, number: int, *, body: Body, answer: Answer2) -> None:
        """Add a stream."""
        self._streams[number] = _Stream(body=body, answer=answer)

    def whole(self, number: int) -> bool:
        """Return whether the body of a stream has ended."""
        return self._streams[number].body.whole

    def feed(self, event: DataReceived) -> None:
        """Take in a part of a body; of one that nobody reads any more the sender is let send the rest."""
        size, stream = event.flow_controlled_length, self._streams.get(event.stream_id)
        if stream is None:
            self._h2.acknowledge_received_data(size, event.stream_id)
            return
        stream.unread += size
        stream.body.feed(event.data)
        if stream.body.wanting:
            self.let_come(event.stream_id)

    def let_come(self, number: int) -> bool:
        """Let the sender of a body go on; return whether it waited."""
        stream = self._streams.get(number)
        if stream is None or not stream.unread:
            return False
        self._h2.acknowledge_received_data(stream.unread, number)
        stream.unread = 0
        return True

    def end(self, number: int) -> None:
        """Take in the end of a body."""
        if number in self._streams:
            self._streams[number].body.end()

    def forget(self, number: int) -> None:
        """Take away a stream that is over; what was not read of it weighs on the connection no longer."""
        self.let_come(number)
        del self._streams[number]

    def lose(self, number: int) -> None:
        """Take in that a reader is gone."""
        self._streams[number].body.lose()
        self._streams[number].answer.leave()

    def lose_all(self) -> None:
        """Take in that the connection is gone."""
        for number in self._streams:
            self.lose(number)
        self._streams.clear()

    def serve_last(self, number: int) -> None:
        """Let all others go before a stream that has sent."""
        self._streams[number] = self._streams.pop(number)

    def hold(self) -> None:
        """Let all answers wait: the connection takes nothing more."""
        for stream in self._streams.values():
            stream.answer.held = True

    def go_on(self, number: int = 0) -> None:
        """Send what a stream's window takes now; of all of them for 0, the connection itself."""
        for stream in [self._streams.get(number)] if number else tuple(self._streams.values()):
            if stream is not None:
                stream.answer.go_on()

    def stuck(self, now: float, *, longest_s: float) -> list[int]:
        """Return the streams whose readers have taken nothing for longer."""
        return [number for number, stream in self._streams.items() if stream.answer.stuck_s(now) > longest_s]
