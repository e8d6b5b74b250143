"""What it takes to begin a stream."""

from dataclasses import dataclass
from typing import Protocol

from tokenflow_gateway.front.exchange import Answer
from tokenflow_gateway.stream.deadlines import Patience
from tokenflow_gateway.stream.routes import Route
from tokenflow_gateway.upstream.call import Call


class Progress(Protocol):
    """Counts what a reader is sent."""

    def sent(self, tokens: int, size: int, now: float) -> None:
        """Take in that so many tokens, in so many bytes, were sent at a time of the wheel's clock."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """A stream that may begin: the upstream's head was read, and the reader's sent.

    Attributes:
        call: the request to the upstream.
        answer: to the reader.
        route: whose it is.
        trace_id: of its request, for the reader to name where it ends in an error.
        patience: how long to wait for the upstream.
        progress: told of all that is sent.
        wants_usage: whether the reader asked for the chunk with the usage.
        started: when the request was sent to the upstream, by the wheel's clock.
    """

    call: Call
    answer: Answer
    route: Route
    trace_id: str
    patience: Patience
    progress: Progress
    wants_usage: bool
    started: float
