"""TLS on both ports of a replica, from its Secret to its clients."""

import asyncio
import json
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from tests.hintsvc.support import RedisServer, replicas, runtime
from tests.serving.authority import Authority
from tests.serving.issuer import ISSUER, Issuer
from tokenflow_api.codec import CONTENT_TYPE, encode
from tokenflow_api.runtime import Grant, Role
from tokenflow_api.telemetry import Reporter, TelemetryBatch

pytestmark = pytest.mark.redis


def batch() -> bytes:
    return encode(
        TelemetryBatch(
            reporter=Reporter.AGENT,
            agent="default/nodes",
            node="node-1",
            boot_id="b",
            sequence=1,
            sent_at_unix_ms=time.time_ns() // 1_000_000,
        )
    )


async def answered_with(url: str, context: ssl.SSLContext) -> bytes:
    """Return the certificate that a fresh connection is served with."""
    port = int(url.rsplit(":", 1)[1])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return certificate


async def test_both_ports_take_a_new_certificate_while_they_serve(redis_server: RedisServer, tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path / "tls", "first")
    (tmp_path / "runtime.json").write_text(runtime().model_dump_json())
    async with replicas(
        1,
        redis=redis_server,
        file=tmp_path / "runtime.json",
        options=("--tls-dir", str(tmp_path / "tls")),
        trust=authority.client(),
    ) as (replica,):
        for url in (replica.url, replica.fast_url):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{url}/v1/hints/gold", ssl=authority.client()) as answer,
            ):
                assert answer.status == 200
        before = await answered_with(replica.url, authority.client())
        authority.issue(tmp_path / "tls", "second")
        async with asyncio.timeout(30):
            while await answered_with(replica.url, authority.client()) == before:
                pass
        assert await answered_with(replica.fast_url, authority.client()) != before


async def test_plain_http_is_told_so_on_both_ports(redis_server: RedisServer, tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path / "tls", "server")
    (tmp_path / "runtime.json").write_text(runtime().model_dump_json())
    async with (
        replicas(
            1,
            redis=redis_server,
            file=tmp_path / "runtime.json",
            options=("--tls-dir", str(tmp_path / "tls")),
            trust=authority.client(),
        ) as (replica,),
        aiohttp.ClientSession() as session,
    ):
        for url in (replica.url, replica.fast_url):
            async with session.get(f"{url.replace('https', 'http')}/v1/hints/gold") as answer:
                assert answer.status == 400
                assert "write https://" in await answer.text()


async def test_telemetry_needs_a_client_certificate_where_there_is_an_authority_for_them(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    authority, clients, issuer = Authority("ca"), Authority("clients"), Issuer()
    authority.issue(tmp_path / "tls", "server")
    clients.issue(tmp_path / "agent", "agent")
    (tmp_path / "tls" / "client-ca.crt").write_bytes(clients.pem)
    (tmp_path / "jwks.json").write_text(json.dumps((await issuer.fetch()).document))
    grant = Grant(namespace="default", service_account="nodes-agent", role=Role.AGENT)
    (tmp_path / "runtime.json").write_text(runtime().model_copy(update={"grants": [grant]}).model_dump_json())
    options = (
        *("--tls-dir", str(tmp_path / "tls")),
        *("--token-keys", str(tmp_path / "jwks.json"), "--token-issuer", ISSUER),
    )
    headers = {"Authorization": f"Bearer {issuer.token()}", "Content-Type": CONTENT_TYPE}
    async with (
        replicas(1, redis=redis_server, file=tmp_path / "runtime.json", options=options, trust=authority.client()) as (
            replica,
        ),
        aiohttp.ClientSession(headers=headers) as session,
    ):
        url = f"{replica.url}/v1/telemetry"
        async with session.post(url, data=batch(), ssl=authority.client()) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, "CertificateRequired")
        async with session.post(url, data=batch(), ssl=authority.client(tmp_path / "agent")) as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(f"{replica.url}/v1/hints/gold", ssl=authority.client()) as answer:
            assert answer.status == 200
