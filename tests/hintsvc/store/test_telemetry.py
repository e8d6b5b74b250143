"""The shared state, in a real Redis."""

from collections.abc import AsyncIterator

import pytest

from tests.hintsvc.support import RedisServer
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.telemetry import Ingested, Telemetry

pytestmark = pytest.mark.redis


@pytest.fixture
async def telemetry(redis_server: RedisServer) -> AsyncIterator[Telemetry]:
    connection = Connection(redis_server.url, policy_uid="p")
    yield Telemetry(connection)
    await connection.close()


async def ingest(
    telemetry: Telemetry, sequence: int, *, at_ms: int, stale: bool = False, boot_id: str = "b"
) -> Ingested:
    batch = f"{boot_id}{sequence}".encode()
    return await telemetry.ingest(
        reporter="n1", boot_id=boot_id, sequence=sequence, batch=batch, at_ms=at_ms, stale=stale, ttl_ms=60_000
    )


async def test_a_batch_is_taken_in_once(telemetry: Telemetry) -> None:
    assert await ingest(telemetry, 1, at_ms=1000) is Ingested.LATEST
    assert await ingest(telemetry, 1, at_ms=1000) is Ingested.DUPLICATE
    assert await ingest(telemetry, 1, at_ms=1500, boot_id="c") is Ingested.LATEST


async def test_a_late_batch_does_not_replace_a_newer_one(telemetry: Telemetry) -> None:
    await ingest(telemetry, 5, at_ms=5000)
    assert await ingest(telemetry, 3, at_ms=3000) is Ingested.LATE
    assert await ingest(telemetry, 9, at_ms=4000, boot_id="before") is Ingested.LATE
    assert await telemetry.latest() == [b"b5"]


async def test_a_stale_batch_does_not_speak_for_now(telemetry: Telemetry) -> None:
    assert await ingest(telemetry, 1, at_ms=1000, stale=True) is Ingested.LATE
    assert await telemetry.latest() == []
    assert await ingest(telemetry, 1, at_ms=1000, stale=True) is Ingested.DUPLICATE
