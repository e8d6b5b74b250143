"""Posts documents to one server over one connection that is kept open."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from tokenflow_agent.errors import ExchangeError
from tokenflow_api.client_tls import client_context

MAX_ANSWER_BYTES: Final = 256 << 10
_MAX_HEAD_BYTES: Final = 16 << 10
_READ_BYTES: Final = 16 << 10
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: of HTTP.
        headers: by lower-case name.
        body: at most ``MAX_ANSWER_BYTES``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Talks to one server. HTTPS is always verified; redirects are not followed.

    Args:
        url: base address.
        authorities: certificates in PEM to know it by; empty is those of the system.
        tls_directory: a certificate to show, read for each connection.
    """

    def __init__(self, url: str, *, authorities: str = "", tls_directory: Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._authorities = authorities
        self._tls_directory = tls_directory
        self._stream: _Stream | None = None

    async def post(self, path: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Return the answer to ``POST url/path``.

        Args:
            path: begins with a slash.
            body: whole.
            headers: besides ``Host`` and ``Content-Length``.
            timeout_s: for all of it.

        Raises:
            ExchangeError: no whole answer came in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._post(path, body, headers)
        except TimeoutError as error:
            self.close()
            raise ExchangeError("Timeout", f"{self._url} did not answer within {timeout_s:g} s") from error
        except ssl.SSLError as error:
            self.close()
            raise ExchangeError("TLS", f"{self._url}: {error}") from error
        except (OSError, ValueError) as error:
            self.close()
            raise ExchangeError("Connect", f"{self._url}: {type(error).__name__}: {error}") from error
        except h11.LocalProtocolError:
            self.close()
            # Its words hold the header, and so the token: they are told to nobody.
            raise ExchangeError("Request", f"{self._url} was not asked: a header holds what HTTP forbids") from None
        except h11.RemoteProtocolError as error:
            self.close()
            raise ExchangeError("Protocol", f"{self._url} does not speak HTTP: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    async def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        address = urlsplit(self._url)
        kept, stream = self._stream is not None, self._stream or await self._connect(address)
        self._stream = stream
        request = h11.Request(
            method="POST",
            target=f"{address.path}{path}",
            headers=[("Host", address.netloc.rpartition("@")[2]), ("Content-Length", str(len(body))), *headers.items()],
        )
        try:
            answer = await stream.exchange(request, body)
        except (ConnectionError, h11.RemoteProtocolError):
            if not kept:
                raise
            # The server may have closed a connection that lay idle; a receiver drops what it gets twice.
            self.close()
            self._stream = stream = await self._connect(address)
            answer = await stream.exchange(request, body)
        if not stream.reusable:
            self.close()
        return answer

    async def _connect(self, address: SplitResult) -> "_Stream":
        if address.scheme not in _PORTS or not address.hostname:
            raise ValueError("it is no HTTP address: write one such as http://hints.llm.svc:8080")
        secure = None
        if address.scheme == "https":
            secure = client_context(self._authorities, directory=self._tls_directory)
        reader, writer = await asyncio.open_connection(
            address.hostname, address.port or _PORTS[address.scheme], ssl=secure, limit=_READ_BYTES
        )
        return _Stream(reader, writer)


class _Stream:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self.reusable = True

    async def exchange(self, request: h11.Request, body: bytes) -> Answer:
        for part in (request, h11.Data(data=body), h11.EndOfMessage()):
            self._writer.write(self._connection.send(part) or b"")
        await self._writer.drain()
        head: h11.Response | None = None
        words = bytearray()
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                words += event.data
            if len(words) > MAX_ANSWER_BYTES:
                raise h11.RemoteProtocolError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        if head is None:
            raise h11.RemoteProtocolError("an answer without a status")
        self.reusable = self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE
        if self.reusable:
            self._connection.start_next_cycle()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Answer(head.status_code, headers, bytes(words))

    def close(self) -> None:
        self._writer.transport.abort()

    async def _next(self) -> h11.Event:
        while (event := self._connection.next_event()) is h11.NEED_DATA:
            self._connection.receive_data(await self._reader.read(_READ_BYTES))
        if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection ended before the answer did")
        return event
