"""What the answers of both versions of HTTP have in common."""

from collections.abc import Callable, Mapping

from tokenflow_gateway.front.head import answer_headers, bodiless


class BaseAnswer:
    """The state of an answer, and whoever is told of it.

    Attributes:
        started: whether the head was sent.
        over: whether it was finished or broken off, or its reader has left.
        cancel: ends the work of whoever answers.
    """

    __slots__ = ("_flowed", "_left", "_length", "_method", "_size", "cancel", "over", "started")

    def __init__(self, method: str) -> None:
        self._method = method
        self._flowed: Callable[[], None] | None = None
        self._left: Callable[[], None] | None = None
        self._length: int | None = None
        self._size = 0
        self.started = False
        self.over = False
        self.cancel: Callable[[], object] | None = None

    def on_flow(self, flowed: Callable[[], None]) -> None:
        """Have ``flowed`` called each time that the connection takes more again."""
        self._flowed = flowed

    def on_left(self, left: Callable[[], None]) -> None:
        """Have ``left`` called, once, when the reader leaves before the end."""
        self._left = left

    def flow(self) -> None:
        """Take in that the connection takes more again."""
        if self._flowed is not None and not self.over:
            self._flowed()

    def leave(self) -> None:
        """Take in that the reader has left."""
        if self.over:
            return
        self.over = True
        left, cancel = self._left, self.cancel
        # A task that is cancelled keeps the frames it was in, and through them this answer: neither would be freed.
        self._left = self._flowed = self.cancel = None
        if left is not None:
            left()
        if cancel is not None:
            cancel()

    def _declare(self, status: int, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers to send.

        Raises:
            ValueError: one of them cannot be sent.
        """
        if self.started:
            raise RuntimeError("an answer starts once")
        sent = answer_headers(headers)
        self.started = True
        if "content-length" in sent and not bodiless(self._method, status):
            self._length = int(sent["content-length"])
        return sent

    def _count(self, data: bytes) -> None:
        """Count a part of the body.

        Raises:
            ValueError: it is more than the head announced.
        """
        self._size += len(data)
        if self._length is not None and self._size > self._length:
            raise ValueError(f"a body of {self._length} bytes was announced")

    @property
    def _short(self) -> bool:
        return self._length is not None and self._size < self._length
