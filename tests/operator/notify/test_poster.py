"""Messages reach real receivers over HTTP; what goes wrong is told without the receiver's URL."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tokenflow_operator.notify.errors import ReceiverAwayError, ReceiverRefusedError
from tokenflow_operator.notify.message import Message
from tokenflow_operator.notify.poster import Poster

SECRET_PATH = "/services/T000/B000/very-secret"


class Receiver:
    """Answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.silent = False
        self.got: list[tuple[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((request.path, await request.json()))
        if self.silent:
            await asyncio.sleep(3600)
        return web.Response(status=self.status, headers=self.headers, text=f"seen at {request.path}")


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def url(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.answer)
    async with TestServer(app) as server:
        yield str(server.make_url(SECRET_PATH))


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    async with aiohttp.ClientSession() as session:
        yield Poster(session, timeout_s=0.5)


def _message(url: str) -> Message:
    return Message(url=url, body=json.dumps({"text": "hello"}).encode())


async def test_a_message_is_posted_as_json(poster: Poster, receiver: Receiver, url: str) -> None:
    await poster.post(_message(url))
    assert receiver.got == [(SECRET_PATH, {"text": "hello"})]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_receiver_in_trouble_may_take_it_later(
    poster: Poster, receiver: Receiver, url: str, status: int
) -> None:
    receiver.status, receiver.headers = status, {"Retry-After": "7"}
    with pytest.raises(ReceiverAwayError) as raised:
        await poster.post(_message(url))
    assert str(raised.value) == f"it answered {status}"
    assert raised.value.after_s == 7.0


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 403, 404, 410])
async def test_a_receiver_that_will_not_have_it_is_not_asked_again(
    poster: Poster, receiver: Receiver, url: str, status: int
) -> None:
    receiver.status, receiver.headers = status, {"Location": "/elsewhere"}
    with pytest.raises(ReceiverRefusedError, match=f"it answered {status}"):
        await poster.post(_message(url))
    assert [path for path, _ in receiver.got] == [SECRET_PATH]


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "soon"])
async def test_a_pause_that_says_nothing_is_none(poster: Poster, receiver: Receiver, url: str, after: str) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": after}
    with pytest.raises(ReceiverAwayError) as raised:
        await poster.post(_message(url))
    assert raised.value.after_s == 0.0


async def test_no_receiver_is_waited_for_beyond_its_time(poster: Poster, receiver: Receiver, url: str) -> None:
    receiver.silent = True
    with pytest.raises(ReceiverAwayError, match="it does not answer in time"):
        await poster.post(_message(url))


async def test_what_went_wrong_is_told_without_the_url(poster: Poster, unused_tcp_port: int) -> None:
    with pytest.raises(ReceiverAwayError) as raised:
        await poster.post(_message(f"http://127.0.0.1:{unused_tcp_port}{SECRET_PATH}"))
    assert str(raised.value).startswith("no connection: ")
    assert "very-secret" not in str(raised.value)


async def test_a_certificate_that_nobody_vouches_for_is_refused(poster: Poster, tmp_path: Any) -> None:
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=_self_signed(tmp_path))
    try:
        with pytest.raises(ReceiverAwayError, match="its certificate cannot be verified") as raised:
            await poster.post(_message(f"https://localhost:{server.port}{SECRET_PATH}"))
    finally:
        await server.close()
    assert "very-secret" not in str(raised.value)


def _self_signed(folder: Any) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "pair.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context
