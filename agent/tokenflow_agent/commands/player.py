"""Plays a recording: each window when it is due, as if it had just been measured."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from pydantic import BaseModel

from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.delivery.segment import Record
from tokenflow_api.codec import encode
from tokenflow_api.telemetry import TelemetryBatch

_STAMP: Final = "_unix_ms"
"""End of the names of all columns that hold a moment."""


def restamped(batch: TelemetryBatch, *, at_unix_ms: int) -> TelemetryBatch:
    """Return ``batch`` as if it were sent at ``at_unix_ms``: all its stamps move by the same time."""
    shift_ms = at_unix_ms - batch.sent_at_unix_ms
    tables = {table: _shifted(getattr(batch, table), shift_ms) for table in TABLES}
    return batch.model_copy(update={**tables, "sent_at_unix_ms": at_unix_ms})


def _shifted(table: BaseModel, shift_ms: int) -> BaseModel:
    stamps = [name for name in type(table).model_fields if name.endswith(_STAMP)]
    moved = {name: [max(0, stamp + shift_ms) for stamp in getattr(table, name)] for name in stamps}
    return table.model_copy(update=moved)


class Player:
    """The queue of a delivery, filled by a recording at its own pace.

    A window that the hint service does not take holds up those after it.

    Args:
        batches: the recording.
        boot_id: that they are sent under; they are numbered from 1.
        node: that they are sent as; by default their own.
        speed: how many times faster than they were recorded.
        clock: monotonic, in seconds.
        sleep: waits.
        now_unix_ms: this moment.

    """

    def __init__(
        self,
        batches: Iterator[TelemetryBatch],
        *,
        boot_id: str,
        node: str | None,
        speed: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now_unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._batches = batches
        self._new = {"boot_id": boot_id} | ({"node": node} if node else {})
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._now_unix_ms = now_unix_ms
        self._sequence = 0
        self._due_s = clock()
        self._last_sent_ms: int | None = None
        self._waiting: Record | None = None
        self._ended = asyncio.Event()

    async def first(self) -> Record:
        """Wait until the next window is due, and return it; never returns after the last one.

        Raises:
            RecordingError: the recording is damaged from here on.
        """
        if self._waiting is not None:
            return self._waiting
        batch = next(self._batches, None)
        if batch is None:
            self._ended.set()
            return await asyncio.Future[Record]()
        await self._until_due(batch)
        self._waiting = self._record(batch)
        return self._waiting

    async def acknowledge(self, record: Record, *, dropped: str = "") -> None:  # noqa: ARG002 - one is on its way
        """Go on to the next window."""
        self._waiting = None

    async def wait_ended(self) -> None:
        """Wait until all have been acknowledged."""
        await self._ended.wait()

    async def _until_due(self, batch: TelemetryBatch) -> None:
        # A clock that was set back while it was recorded must not make the pause negative.
        since_ms = batch.sent_at_unix_ms - (self._last_sent_ms or batch.sent_at_unix_ms)
        self._last_sent_ms = batch.sent_at_unix_ms
        self._due_s += max(0, since_ms) / 1000 / self._speed
        await self._sleep(max(0.0, self._due_s - self._clock()))

    def _record(self, batch: TelemetryBatch) -> Record:
        self._sequence += 1
        now_ms = self._now_unix_ms()
        sent = restamped(batch, at_unix_ms=now_ms).model_copy(update={**self._new, "sequence": self._sequence})
        return Record(self._sequence, now_ms, encode(sent))
