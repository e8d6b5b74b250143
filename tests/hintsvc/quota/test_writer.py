"""Usage on its way to Redis, when a replica leaves."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.quota.usage import UsageBook
from tokenflow_hintsvc.quota.writer import UsageWriter
from tokenflow_hintsvc.store.usage import HourUsage


class Kept:
    """What Redis keeps, or does not."""

    def __init__(self, *, away: bool) -> None:
        self.away = away
        self.hours: list[HourUsage] = []

    async def add(self, hours: Sequence[HourUsage], *, sequence: int) -> None:
        del sequence
        if self.away:
            raise StoreError("Redis: gone")
        self.hours += hours


@pytest.mark.parametrize("away", [False, True])
async def test_a_replica_that_leaves_writes_its_usage_or_says_that_it_could_not(
    caplog: pytest.LogCaptureFixture, *, away: bool
) -> None:
    book, kept = UsageBook(now_ms=lambda: 0), Kept(away=away)
    writing = asyncio.create_task(UsageWriter(book, kept).run())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    book.admitted("gold")
    writing.cancel()
    with caplog.at_level(logging.ERROR):
        await asyncio.gather(writing, return_exceptions=True)
    assert [hour.tenant for hour in kept.hours] == ([] if away else ["gold"])
    lost = [record.__dict__["tenant_hours"] for record in caplog.records if record.levelno == logging.ERROR]
    assert lost == ([1] if away else [])
