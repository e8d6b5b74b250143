"""The HTTP client against servers that behave, and others."""

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tokenflow_agent.delivery.http import MAX_ANSWER_BYTES, HttpClient
from tokenflow_agent.errors import ExchangeError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Raw:
    """Says ``answers`` one after the other, one to each request, and closes where ``None`` is next."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def client_of(server: Raw, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpClient]:
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    client = HttpClient(f"{'https' if tls else 'http'}://127.0.0.1:{port}/base/")
    try:
        yield client
    finally:
        client.close()
        listening.close()


async def posted(client: HttpClient, *, timeout_s: float = 60) -> tuple[int, bytes]:
    answer = await client.post("/v1/x", b"body", headers={"X-A": "1"}, timeout_s=timeout_s)
    return answer.status, answer.body


async def test_one_connection_serves_many_requests() -> None:
    server = Raw(OK, OK, OK)
    async with client_of(server) as client:
        assert [await posted(client) for _ in range(3)] == [(200, b"ok")] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /base/v1/x HTTP/1.1\r\n")
    assert server.requests[0].endswith(b"\r\n\r\nbody")


async def test_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    server = Raw(OK, None, OK)
    async with client_of(server) as client:
        assert await posted(client) == (200, b"ok")
        assert await posted(client) == (200, b"ok")
    assert server.connections == 2


async def test_a_server_that_closes_is_asked_on_a_new_connection() -> None:
    closing = b"HTTP/1.1 503 Later\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    server = Raw(closing, OK)
    async with client_of(server) as client:
        assert await posted(client) == (503, b"")
        assert await posted(client) == (200, b"ok")
    assert server.connections == 2


async def test_chunks_and_interim_answers_are_understood() -> None:
    server = Raw(
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK
    )
    async with client_of(server) as client:
        assert await posted(client) == (200, b"ok")
        assert await posted(client) == (200, b"ok")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "Protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, "Protocol"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (MAX_ANSWER_BYTES + 1), "Protocol"),
        (None, "Protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal", "Timeout"),
    ],
)
async def test_what_is_no_answer_is_told(answer: bytes | None, reason: str) -> None:
    async with client_of(Raw(answer)) as client:
        with pytest.raises(ExchangeError) as told:
            await posted(client, timeout_s=0.3 if reason == "Timeout" else 60)
    assert told.value.reason == reason


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "http://a:99999", "http://[", "nonsense"])
async def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(ExchangeError) as told:
        await HttpClient(url).post("/", b"", headers={}, timeout_s=1)
    assert told.value.reason == "Connect"


async def test_a_certificate_that_no_authority_signed_is_refused(
    tmp_path: Path, certificate: Callable[[Path], ssl.SSLContext]
) -> None:
    async with client_of(Raw(OK), tls=certificate(tmp_path)) as client:
        with pytest.raises(ExchangeError, match="certificate verify failed") as told:
            await posted(client)
    assert told.value.reason == "TLS"


async def test_one_that_an_authority_signed_is_not(
    tmp_path: Path, certificate: Callable[[Path], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with client_of(Raw(OK), tls=context) as client:
        assert await posted(client) == (200, b"ok")


async def test_a_token_that_is_none_is_not_told_to_anybody() -> None:
    async with client_of(Raw(OK)) as client:
        with pytest.raises(ExchangeError, match="a header holds what HTTP forbids") as told:
            await client.post("/", b"", headers={"Authorization": "Bearer sec\nret"}, timeout_s=5)
    assert told.value.reason == "Request"
    assert "ret" not in "".join(traceback.format_exception(told.value)).partition("ExchangeError")[2]
