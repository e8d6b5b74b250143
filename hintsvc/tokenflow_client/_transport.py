"""Transports for httpx that pace the event streams which pass through a client.

Whoever reads such a stream gets whole events, byte for byte as they came: no event and no character is ever cut in two.
Answers of other kinds, errors and compressed streams pass as they are.
"""

from collections.abc import AsyncIterator, Iterator

import httpx

from tokenflow_client._boundaries import events_of, events_of_sync, is_event_stream, tokens
from tokenflow_client._client import TokenFlow
from tokenflow_client._errors import UsageError
from tokenflow_client._sync_client import SyncTokenFlow


class PacedTransport(httpx.AsyncBaseTransport):
    """Paces event streams by a ``TokenFlow`` that is open.

    ``httpx.AsyncClient(transport=PacedTransport(tf))`` is a client for anything that takes one, such as
    ``openai.AsyncOpenAI(http_client=...)``.

    Args:
        tokenflow: paces.
        transport: does the work; by default httpx's own. It is closed with this one.
    """

    def __init__(self, tokenflow: TokenFlow, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._tokenflow = tokenflow
        self._transport = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; an event stream that answers it is paced.

        Raises:
            UsageError: it would be, but the client that paces is closed.
        """
        response = await self._transport.handle_async_request(request)
        if _readable(response) and isinstance(response.stream, httpx.AsyncByteStream):
            try:
                response.stream = _PacedBytes(response.stream, self._tokenflow)
            except UsageError:
                await response.aclose()
                raise
        return response

    async def aclose(self) -> None:
        """Close the transport that does the work."""
        await self._transport.aclose()


class SyncPacedTransport(httpx.BaseTransport):
    """Paces event streams by a ``SyncTokenFlow`` that is open.

    Args:
        tokenflow: paces.
        transport: does the work; by default httpx's own. It is closed with this one.
    """

    def __init__(self, tokenflow: SyncTokenFlow, transport: httpx.BaseTransport | None = None) -> None:
        self._tokenflow = tokenflow
        self._transport = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; an event stream that answers it is paced.

        Raises:
            UsageError: it would be, but the client that paces is closed.
        """
        response = self._transport.handle_request(request)
        if _readable(response) and isinstance(response.stream, httpx.SyncByteStream):
            try:
                response.stream = _SyncPacedBytes(response.stream, self._tokenflow)
            except UsageError:
                response.close()
                raise
        return response

    def close(self) -> None:
        """Close the transport that does the work."""
        self._transport.close()


def _readable(response: httpx.Response) -> bool:
    """Whether it is an event stream whose events can be seen: httpx decompresses above its transports."""
    coding: str = response.headers.get("Content-Encoding", "identity")
    return coding == "identity" and is_event_stream(response.status_code, response.headers.get("Content-Type", ""))


class _PacedBytes(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, tokenflow: TokenFlow) -> None:
        self._stream = stream
        self._paced = tokenflow.pace(events_of(stream), tokens=tokens)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for event in self._paced:
            yield event

    async def aclose(self) -> None:
        try:
            await self._paced.aclose()
        finally:
            await self._stream.aclose()


class _SyncPacedBytes(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, tokenflow: SyncTokenFlow) -> None:
        self._stream = stream
        self._paced = tokenflow.pace(events_of_sync(stream), tokens=tokens)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._paced

    def close(self) -> None:
        try:
            self._paced.close()
        finally:
            self._stream.close()
