"""A recording, played."""

import asyncio
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings

from tests.agent.commands.rows import recordings, rows
from tests.agent.commands.support import batch
from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.player import Player, restamped
from tokenflow_api.codec import decode
from tokenflow_api.telemetry import TelemetryBatch


class Time:
    """Monotonic and wall time that pass by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def clock(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return 1_800_000_000_000 + round(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


async def played(
    batches: Sequence[TelemetryBatch], *, speed: float = 1.0, node: str | None = None
) -> list[TelemetryBatch]:
    """Return what a hint service gets that takes each window at its second delivery."""
    time = Time()
    player = Player(
        iter(batches),
        boot_id="new",
        node=node,
        speed=speed,
        clock=time.clock,
        sleep=time.sleep,
        now_unix_ms=time.unix_ms,
    )
    got: list[TelemetryBatch] = []

    async def deliver() -> None:
        while True:
            await player.first()
            record = await player.first()
            got.append(decode(record.document, TelemetryBatch))
            await player.acknowledge(record)

    async with asyncio.TaskGroup() as tasks:
        delivering = tasks.create_task(deliver())
        await player.wait_ended()
        delivering.cancel()
    return got


async def test_order_and_spacing_are_kept_under_a_new_boot_id() -> None:
    recorded = [batch(7), batch(8), batch(12, boot_id="other")]
    got = await played(recorded, speed=2)
    assert [(one.boot_id, one.sequence, one.node) for one in got] == [
        ("new", 1, "n1"),
        ("new", 2, "n1"),
        ("new", 3, "n1"),
    ]
    assert [one.sent_at_unix_ms for one in got] == [1_800_000_050_000, 1_800_000_050_500, 1_800_000_052_500]


async def test_another_node_may_be_named() -> None:
    assert [one.node for one in await played([batch(1)], node="lab")] == ["lab"]


async def test_a_clock_that_was_set_back_is_no_pause() -> None:
    got = await played([batch(9), batch(1), batch(2)])
    assert [one.sent_at_unix_ms - got[0].sent_at_unix_ms for one in got] == [0, 0, 1000]


def test_all_stamps_move_alike() -> None:
    measured = batch(
        1,
        tcp=rows("tcp", {"start_unix_ms": 1_700_000_000_000}),
        gpu=rows("gpu", {"at_unix_ms": 1_700_000_000_900}),
    )
    moved = restamped(measured, at_unix_ms=measured.sent_at_unix_ms + 500)
    assert moved.tcp.start_unix_ms == [1_700_000_000_500]
    assert moved.gpu.at_unix_ms == [1_700_000_001_400]
    assert moved.tcp.service_port == measured.tcp.service_port


@given(recordings())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_played_is_what_was_recorded(batches: list[TelemetryBatch]) -> None:
    got = asyncio.run(played(batches))
    tables = [[getattr(one, table) for table in TABLES] for one in batches]
    back = [restamped(new, at_unix_ms=old.sent_at_unix_ms) for new, old in zip(got, batches, strict=True)]
    assert [[getattr(one, table) for table in TABLES] for one in back] == tables
