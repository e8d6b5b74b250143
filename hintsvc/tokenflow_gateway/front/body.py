"""The body of a request: taken in as it arrives, handed out whole."""

import asyncio
from collections.abc import Callable

from tokenflow_gateway.errors import SlowRequestError, TooLargeError


class Body:
    """Collects a body for one reader.

    Args:
        wanted: called when somebody begins to read.
        announced: its length, where the request tells it.

    Attributes:
        whole: whether its end has come.
        wanting: whether somebody waits for more.
    """

    __slots__ = ("_announced", "_arrived", "_data", "_lost", "_most", "_wanted", "wanting", "whole")

    def __init__(self, *, wanted: Callable[[], None], announced: int | None = None) -> None:
        self._wanted = wanted
        self._announced = announced
        self._data = bytearray()
        self._arrived: asyncio.Future[None] | None = None
        self._most = 0
        self._lost = False
        self.wanting = False
        self.whole = False

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take in a part."""
        self._data += data
        if self.wanting and len(self._data) > self._most:
            self._wake()

    def end(self) -> None:
        """Take in the end."""
        self.whole = True
        self._wake()

    def lose(self) -> None:
        """Take in that nothing more comes."""
        self._lost = True
        self._wake()

    async def read(self, *, most: int, within_s: float) -> bytes:
        """Return the whole body; once.

        Raises:
            TooLargeError: it has more than ``most`` bytes.
            SlowRequestError: it did not arrive within ``within_s``.
            ConnectionResetError: the reader left.
        """
        if self._announced is not None and self._announced > most:
            raise _too_large(most)
        if self.whole or self._lost or len(self._data) > most:
            self._wanted()
        else:
            await self._wait(most=most, within_s=within_s)
        if len(self._data) > most:
            raise _too_large(most)
        if not self.whole:
            raise ConnectionResetError("the reader left before the end of the body")
        data, self._data = bytes(self._data), bytearray()
        return data

    async def _wait(self, *, most: int, within_s: float) -> None:
        self._arrived = asyncio.get_running_loop().create_future()
        self._most, self.wanting = most, True
        self._wanted()
        try:
            async with asyncio.timeout(within_s):
                await self._arrived
        except TimeoutError as error:
            raise SlowRequestError(f"the body did not arrive within {within_s:g} s") from error
        finally:
            self.wanting = False

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"the body may have at most {most} bytes (spec.gateway.maxRequestSize)")
