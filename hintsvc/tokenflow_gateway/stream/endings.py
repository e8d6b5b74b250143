"""How a stream may end, and the last words that its reader is sent."""

import json
from dataclasses import dataclass
from enum import StrEnum

from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.stream.events import END
from tokenflow_gateway.stream.usage import Usage


class Why(StrEnum):
    """Why a stream ended."""

    COMPLETE = "Complete"
    """The upstream ended it."""
    READER_LEFT = "ReaderLeft"
    UPSTREAM_BROKE = "UpstreamBroke"
    """The upstream broke off, or sent what is no stream."""
    TIMED_OUT = "TimedOut"
    """The upstream fell silent, or the whole took too long."""
    DRAINED = "Drained"
    """The gateway is going away: the reader was told how to go on elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a stream ended.

    Attributes:
        why: it ended.
        tokens: sent to the reader, counted by events.
        usage: as the upstream told; else the tokens sent, which are not measured.
        error: that the reader was told, if any.
    """

    why: Why
    tokens: int
    usage: Usage
    error: GatewayError | None = None


class DrainingError(GatewayError):
    """The gateway goes away before the stream is at its end."""

    status = 503
    code = "gateway_draining"
    retry_after_s = 1

    def __init__(self, *, tokens: int) -> None:
        super().__init__(
            f"this gateway is going away, {tokens} tokens into the answer: send the request again, with the text"
            " so far as the assistant's last message to go on from there"
        )
        self.tokens = tokens

    def body(self, *, trace_id: str = "") -> str:
        """Return the answer's body, which also tells in numbers from where to go on."""
        document = json.loads(super().body(trace_id=trace_id))
        document["error"]["resumable"] = True
        document["error"]["tokens_sent"] = self.tokens
        return json.dumps(document)


def last_words(error: GatewayError, *, trace_id: str) -> bytes:
    """Return the last event of a stream that did not end well, in OpenAI's form."""
    return b"data: " + error.body(trace_id=trace_id).encode() + END
