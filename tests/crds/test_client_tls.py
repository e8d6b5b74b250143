"""Whom a program trusts at https, and what it shows, against a real server."""

import asyncio
import ssl
from pathlib import Path

import pytest

from e2e.cluster.certificates import Authority
from tokenflow_api.client_tls import client_context

OURS = Authority()
OTHER = Authority()


async def shown(directory: Path, *, context: ssl.SSLContext) -> dict[str, object]:
    """Connect to a server of ours; return the certificate that it was shown."""
    OURS.issue("server", hosts=("127.0.0.1",)).write(directory, "server")
    OURS.pair.write(directory, "authority")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(directory / "server.crt", directory / "server.key")
    serving.load_verify_locations(directory / "authority.crt")
    serving.verify_mode = ssl.CERT_OPTIONAL
    seen: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(writer.get_extra_info("peercert") or {})
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=serving) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await reader.read()
        writer.close()
        return await seen.get()


async def test_the_given_authority_is_trusted(tmp_path: Path) -> None:
    assert await shown(tmp_path, context=client_context(OURS.pair.certificate.decode())) == {}


async def test_a_bundle_may_hold_comments(tmp_path: Path) -> None:
    bundle = f"# Autoridad de certificación\n{OURS.pair.certificate.decode()}"
    assert await shown(tmp_path, context=client_context(bundle)) == {}


async def test_the_certificate_of_the_secret_is_shown(tmp_path: Path) -> None:
    OURS.issue("agent").write(tmp_path / "secret", "client")
    context = client_context(OURS.pair.certificate.decode(), directory=tmp_path / "secret")
    assert (await shown(tmp_path, context=context))["subject"] == ((("commonName", "agent"),),)


@pytest.mark.parametrize("authorities", [b"", OTHER.pair.certificate])
async def test_nobody_else_is(tmp_path: Path, authorities: bytes) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(tmp_path, context=client_context(authorities.decode()))


def test_what_is_no_certificate_is_said_to_be_none() -> None:
    with pytest.raises(ssl.SSLError):
        client_context("-----BEGIN CERTIFICATE-----")
