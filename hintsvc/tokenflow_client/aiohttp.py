"""Paces the event streams that pass through an aiohttp client. This module alone needs aiohttp (3.12 or newer).

Client middleware is the hook: it is public, documented, and sees every response once its headers are there. Of the
others, a connector hands out connections below HTTP, and a class for responses would have to be mixed with that of
whoever has one already. ``ClientResponse.content``, which is where everybody reads from, is what is replaced.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self, cast

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

from tokenflow_client._boundaries import MAX_EVENT_BYTES, events_of, is_event_stream, tokens
from tokenflow_client._client import TokenFlow


def paced(tokenflow: TokenFlow) -> ClientMiddlewareType:
    """Return a middleware that paces event streams: ``aiohttp.ClientSession(middlewares=[paced(tf)])``.

    Args:
        tokenflow: paces, while it is open.
    """

    async def middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        # aiohttp decompresses before anybody reads, so that the events of any stream can be seen.
        if is_event_stream(response.status, response.content_type):
            response.content = cast("aiohttp.StreamReader", PacedContent(response.content, tokenflow))
        return response

    return middleware


class PacedContent:
    """Reads as an ``aiohttp.StreamReader`` does, and hands out what is due: whole events, byte for byte.

    Args:
        content: where the stream comes from.
        tokenflow: paces.
    """

    def __init__(self, content: aiohttp.StreamReader, tokenflow: TokenFlow) -> None:
        self._content = content
        self._paced = tokenflow.pace(events_of(content.iter_any()), tokens=tokens)
        self._held = b""
        self._ended = False

    async def readany(self) -> bytes:
        """Return the next event, or what is left of the last one; nothing at the end."""
        if not self._held:
            await self._more()
        return self._taken(len(self._held))

    async def read(self, n: int = -1) -> bytes:
        """Return up to ``n`` bytes of the next event; all that comes where ``n`` is negative."""
        if n < 0:
            while await self._more():
                pass
            return self._taken(len(self._held))
        if not self._held and n:
            await self._more()
        return self._taken(n)

    async def readexactly(self, n: int) -> bytes:
        """Return ``n`` bytes.

        Raises:
            asyncio.IncompleteReadError: the stream ended before.
        """
        while len(self._held) < n:
            if not await self._more():
                raise asyncio.IncompleteReadError(self._taken(n), n)
        return self._taken(n)

    def read_nowait(self, n: int = -1) -> bytes:
        """Return what is left of the last event, up to ``n`` bytes of it, without a wait."""
        return self._taken(len(self._held) if n < 0 else n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Return the bytes up to and with ``separator``, or what there is before the end.

        Raises:
            ValueError: it does not come within ``MAX_EVENT_BYTES``, as of an ``aiohttp.StreamReader`` beyond its limit.
        """
        while separator not in self._held:
            if len(self._held) > MAX_EVENT_BYTES:
                raise ValueError(f"no {separator!r} within {MAX_EVENT_BYTES} bytes")
            if not await self._more():
                break
        found = self._held.find(separator)
        return self._taken(len(self._held) if found < 0 else found + len(separator))

    async def readline(self) -> bytes:
        """Return the next line, with its end."""
        return await self.readuntil()

    async def readchunk(self) -> tuple[bytes, bool]:
        """Return the next event, and whether it is one: nothing at the end."""
        event = await self.readany()
        return event, bool(event)

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield each event when it is due."""
        while event := await self.readany():
            yield event

    async def iter_chunked(self, n: int) -> AsyncIterator[bytes]:
        """Yield pieces of at most ``n`` bytes."""
        while piece := await self.read(n):
            yield piece

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield each event when it is due, and that it is one."""
        while event := await self.readany():
            yield event, True

    def at_eof(self) -> bool:
        """Whether all has been read."""
        return self._ended and not self._held

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def _more(self) -> bool:
        """Wait for the next event; return whether there was one."""
        try:
            self._held += await anext(self._paced)
        except StopAsyncIteration:
            self._ended = True
        return not self._ended

    def _taken(self, n: int) -> bytes:
        taken, self._held = self._held[:n], self._held[n:]
        return taken
