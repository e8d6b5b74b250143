"""The shared state, in a real Redis."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hintsvc.support import RedisServer
from tokenflow_api.cluster import NodeReport
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store import history
from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.history import History
from tokenflow_hintsvc.store.telemetry import SEEN_PER_REPORTER, Delivery, Ingested, Telemetry

pytestmark = pytest.mark.redis


@pytest.fixture
def telemetry(connection: Connection) -> Telemetry:
    return Telemetry(connection)


def delivery(
    sequence: int, *, at_ms: int = 1000, reporter: str = "n1", boot_id: str = "b", current_ms: int = 60_000
) -> Delivery:
    data = f"{reporter}-{boot_id}-{sequence}".encode()
    return Delivery(
        reporter=reporter,
        boot_id=boot_id,
        sequence=sequence,
        batch=StoredBatch(at_unix_ms=at_ms, bounded=True, data=data),
        current_ms=current_ms,
        report=NodeReport(agent="default/nodes", node=reporter, at_unix_ms=at_ms),
    )


async def said_now(telemetry: Telemetry) -> list[bytes]:
    return [one.batch.data for one in await telemetry.latest()]


async def remembered(connection: Connection, *, since: int = 0) -> list[tuple[int, bytes]]:
    return [(one.at_unix_ms, one.data) async for one in History(connection).since(since)]


async def test_a_batch_is_taken_in_once(telemetry: Telemetry) -> None:
    assert await telemetry.ingest([delivery(1), delivery(1)]) == [Ingested.LATEST, Ingested.DUPLICATE]
    assert await telemetry.ingest([delivery(1)]) == [Ingested.DUPLICATE]
    assert await telemetry.ingest([delivery(1, at_ms=1500, boot_id="c")]) == [Ingested.LATEST]


async def test_a_late_batch_joins_the_history_at_its_time_and_does_not_speak_for_now(
    telemetry: Telemetry, connection: Connection
) -> None:
    await telemetry.ingest([delivery(5, at_ms=5000)])
    assert await telemetry.ingest([delivery(3, at_ms=3000)]) == [Ingested.LATE]
    assert await telemetry.ingest([delivery(9, at_ms=4000, boot_id="before")]) == [Ingested.LATE]
    assert await said_now(telemetry) == [b"n1-b-5"]
    assert await remembered(connection) == [(3000, b"n1-b-3"), (4000, b"n1-before-9"), (5000, b"n1-b-5")]
    assert await remembered(connection, since=4000) == [(4000, b"n1-before-9"), (5000, b"n1-b-5")]


async def test_a_stale_batch_does_not_speak_for_now(telemetry: Telemetry) -> None:
    assert await telemetry.ingest([delivery(1, current_ms=0)]) == [Ingested.LATE]
    assert await said_now(telemetry) == []
    assert await telemetry.ingest([delivery(1, current_ms=0)]) == [Ingested.DUPLICATE]


async def test_what_speaks_for_now_keeps_its_identity_until_it_is_replaced(telemetry: Telemetry) -> None:
    await telemetry.ingest([delivery(1), delivery(1, reporter="n2")])
    first = {one.reporter: one.identity for one in await telemetry.latest()}
    assert {one.reporter: one.identity for one in await telemetry.latest()} == first
    await telemetry.ingest([delivery(2, reporter="n2")])
    second = {one.reporter: one.identity for one in await telemetry.latest()}
    assert second["n1"] == first["n1"]
    assert second["n2"] != first["n2"]
    assert await said_now(telemetry) == [b"n1-b-1", b"n2-b-2"]


async def test_the_history_is_capped_in_bytes_and_the_oldest_go(
    telemetry: Telemetry, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 21)
    await telemetry.ingest([delivery(sequence, at_ms=sequence) for sequence in (4, 2, 5, 3)])
    # Seven bytes each, the mark of its time among them.
    assert await remembered(connection) == [(3, b"n1-b-3"), (4, b"n1-b-4"), (5, b"n1-b-5")]


@pytest.mark.parametrize("dropped", ["history", "history-bytes"])
async def test_a_history_of_which_redis_dropped_a_part_begins_anew(
    telemetry: Telemetry, connection: Connection, monkeypatch: pytest.MonkeyPatch, dropped: str
) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 21)
    await telemetry.ingest([delivery(sequence, at_ms=sequence) for sequence in range(1, 4)])
    await connection.redis.delete(connection.key(dropped))
    assert await telemetry.ingest([delivery(4, at_ms=4)]) == [Ingested.LATEST]
    assert await remembered(connection) == [(4, b"n1-b-4")]


async def test_a_long_history_is_read_whole_and_once(telemetry: Telemetry, connection: Connection) -> None:
    sent = [delivery(sequence, at_ms=1000 + sequence // 300) for sequence in range(1, 1001)]
    await telemetry.ingest(sent[::-1])
    read = await remembered(connection)
    assert len(read) == 1000
    assert set(read) == {(one.batch.at_unix_ms, one.batch.data) for one in sent}
    assert [at for at, _ in read] == sorted(at for at, _ in read)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(min_value=1, max_value=3 * SEEN_PER_REPORTER), max_size=60))
async def test_no_batch_counts_twice_in_whatever_order_they_come(connection: Connection, order: list[int]) -> None:
    boot = str(uuid.uuid4())
    outcomes = await Telemetry(connection).ingest([delivery(sequence, boot_id=boot) for sequence in order])
    seen: set[int] = set()
    for sequence, outcome in zip(order, outcomes, strict=True):
        forgotten = bool(seen) and sequence <= max(seen) - SEEN_PER_REPORTER
        assert (outcome is Ingested.DUPLICATE) == (sequence in seen or forgotten)
        seen.add(sequence)


async def test_a_redis_that_forgot_its_scripts_is_told_them_again(telemetry: Telemetry, connection: Connection) -> None:
    await telemetry.ingest([delivery(1)])
    await connection.redis.script_flush()
    assert await telemetry.ingest([delivery(2), delivery(2)]) == [Ingested.LATEST, Ingested.DUPLICATE]


async def test_a_redis_that_is_away_is_an_error_of_ours(telemetry: Telemetry, redis_server: RedisServer) -> None:
    await telemetry.ingest([delivery(1)])
    redis_server.stop()
    with pytest.raises(StoreError):
        await telemetry.ingest([delivery(2)])
    redis_server.start()
    assert await telemetry.ingest([delivery(2)]) == [Ingested.LATEST]


async def test_every_key_of_telemetry_runs_out(telemetry: Telemetry, connection: Connection) -> None:
    await telemetry.ingest([delivery(1)])
    keys = [key async for key in connection.redis.scan_iter()]
    assert len(keys) == 7
    assert all(key.startswith(b"tf:{p}:") for key in keys)
    assert all([await connection.redis.pttl(key) > 0 for key in keys])
