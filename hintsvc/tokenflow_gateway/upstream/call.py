"""One request to an upstream, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tokenflow_gateway.errors import GatewayError


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A request to an upstream.

    Attributes:
        method: such as ``POST``.
        target: path below the upstream's URL, with the query.
        headers: to send; host, length and credentials of the upstream are added.
        body: empty for none.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Status and headers, by lower-case name, of an upstream's answer."""

    status: int
    headers: Mapping[str, str]


class BodySink(Protocol):
    """Takes an answer's body as it arrives."""

    def feed(self, data: bytes) -> None:
        """Take in some bytes."""
        ...

    def end(self, error: GatewayError | None) -> None:
        """Take in the end, once; with ``error`` the answer broke off. After ``cancel`` there is none."""
        ...


class Call(Protocol):
    """A request on its way; whoever sent it ends it by ``cancel``."""

    @property
    def error(self) -> GatewayError | None:
        """Why the answer broke off, if it did."""
        ...

    async def head(self, *, within_s: float) -> Head:
        """Return the answer's head.

        Raises:
            UpstreamError: the upstream is out of reach or broke off.
            UpstreamTimeoutError: it did not answer within ``within_s``.
        """
        ...

    async def begin(self, *, within_s: float) -> Head:
        """Return the answer's head once the first of its body is there as well, or its end.

        Raises:
            UpstreamError: the upstream is out of reach or broke off before that.
            UpstreamTimeoutError: it did not answer within ``within_s``.
        """
        ...

    async def read(self, *, most: int, within_s: float) -> bytes:
        """Return the whole body.

        Raises:
            UpstreamError: the upstream broke off, or sent more than ``most`` bytes.
            UpstreamTimeoutError: the body was not whole within ``within_s``.
        """
        ...

    def pipe(self, sink: BodySink) -> None:
        """Hand the body to ``sink``: what is there at once, all else as soon as it arrives."""
        ...

    def pause(self) -> None:
        """Read no further for now: the upstream meets a full connection."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def read_waiting(self) -> bool:
        """Hand the sink what came while paused, at once, and stay paused; return whether there was something.

        Where there was not, ``resume`` waits for it.
        """
        ...

    def cancel(self) -> None:
        """Close the connection, so that the upstream stops its work; nothing where the answer is whole."""
        ...
