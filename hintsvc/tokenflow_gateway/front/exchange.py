"""One request and its answer, whichever version of HTTP carries them."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request whose head has arrived.

    Attributes:
        method: such as ``POST``.
        path: of the target, without the query, as it came.
        query: of the target, without the question mark; empty without one.
        headers: by lower-case name; values of a repeated header are joined by commas.
        peer: address at the other end of the connection; empty where it has none.
        http: version that carries it, ``1.0``, ``1.1`` or ``2``.
        read: returns the whole body, of at most so many bytes, within so many seconds.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""
    http: str = "1.1"
    read: "ReadBody"


class ReadBody(Protocol):
    """Reads a request's body."""

    async def __call__(self, *, most: int, within_s: float) -> bytes:
        """Return the whole body.

        Raises:
            TooLargeError: it has more than ``most`` bytes.
            SlowRequestError: it did not arrive within ``within_s``.
            ConnectionResetError: the reader left.
        """
        ...


class Answer(Protocol):
    """The answer of one request. Nothing here ever waits: ``waiting_bytes`` and ``on_flow`` tell when to."""

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head; once."""
        ...

    def write(self, data: bytes) -> None:
        """Send a part of the body; nothing happens when the reader has left."""
        ...

    def flush(self) -> None:
        """Send what was written so far, if this connection can before the end of the turn of the event loop."""
        ...

    def finish(self) -> None:
        """End the body as it should end."""
        ...

    def abort(self) -> None:
        """Break the answer off, so that the reader can tell that it is not whole."""
        ...

    @property
    def started(self) -> bool:
        """Whether the head was sent."""
        ...

    @property
    def flowing(self) -> bool:
        """Whether the connection takes more at present: all that was written is with the kernel."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """Bytes written that the kernel, or the reader's HTTP/2 window, has not taken yet."""
        ...

    @property
    def socket(self) -> socket.socket | None:
        """The connection, for what the kernel says of it; ``None`` where it is no TCP socket of ours."""
        ...

    def keep_waiting_here(self, *, unsent_bytes: int) -> None:
        """Let the kernel hold so many unsent bytes and no more: the rest stays here, where it can still be merged."""
        ...

    def on_flow(self, flowed: Callable[[], None]) -> None:
        """Have ``flowed`` called each time that the connection takes more again, and perhaps once more than that."""
        ...

    def on_left(self, left: Callable[[], None]) -> None:
        """Have ``left`` called, once, when the reader leaves before the end."""
        ...


Handler = Callable[[Request, Answer], Awaitable[None]]
"""Answers one request. It is cancelled when the reader leaves; what it raises breaks the answer off."""
