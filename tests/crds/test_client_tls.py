"""Whom a program trusts at https, and what it shows, against a real server."""

import asyncio
import ssl
from pathlib import Path

import pytest

from e2e.cluster.certificates import Authority
from tokenflow_api.client_tls import client_context

OURS = Authority()
OTHER = Authority()


async def shown(directory: Path, *, trust: Path | None) -> dict[str, object]:
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
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context(trust))
        await reader.read()
        writer.close()
        return await seen.get()


async def test_the_authority_of_the_secret_is_trusted(tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "ca.crt").write_bytes(OURS.pair.certificate)
    assert await shown(tmp_path, trust=trust) == {}


async def test_the_certificate_of_the_secret_is_shown(tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    OURS.issue("agent").write(trust, "client")
    (trust / "ca.crt").write_bytes(OURS.pair.certificate)
    assert (await shown(tmp_path, trust=trust))["subject"] == ((("commonName", "agent"),),)


@pytest.mark.parametrize("authority", [None, OTHER])
async def test_nobody_else_is(tmp_path: Path, authority: Authority | None) -> None:
    trust = tmp_path / "trust"
    if authority:
        trust.mkdir()
        (trust / "ca.crt").write_bytes(authority.pair.certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(tmp_path, trust=trust)


def test_without_a_directory_the_systems_authorities_are_trusted() -> None:
    assert client_context(None).verify_mode is ssl.CERT_REQUIRED
