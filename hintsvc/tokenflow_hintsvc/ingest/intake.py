"""Batches on their way to Redis: those that arrive while an exchange is under way go together in the next.

What waits is bounded in bytes, from before a body is read until its batch is stored. Beyond it batches are refused,
and their senders keep them.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import IntakeFullError, StoreError
from tokenflow_hintsvc.store.telemetry import Delivery, Ingested, Telemetry

MAX_BYTES: Final = 32 << 20
"""Of batches that are being taken in, as they travel."""
MAX_TOGETHER: Final = 256
"""Batches in one exchange with Redis."""

_Waiting = tuple[Delivery, asyncio.Future[Ingested]]


class Intake:
    """Takes in batches in the order of their arrival."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._waiting: deque[_Waiting] = deque()
        self._news = asyncio.Event()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Hold room for a batch of ``size`` bytes.

        Raises:
            IntakeFullError: there is none.
        """
        if self._bytes + size > MAX_BYTES:
            raise IntakeFullError(f"more than {MAX_BYTES >> 20} MiB of telemetry are being taken in")
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size

    async def take(self, delivery: Delivery) -> Ingested:
        """Store a batch, for which there must be room.

        Raises:
            StoreError: Redis does not answer; it may have been stored.
        """
        done: asyncio.Future[Ingested] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, done))
        self._news.set()
        return await done

    async def run(self) -> None:
        """Store what arrives, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                await self._store([self._waiting.popleft() for _ in range(min(MAX_TOGETHER, len(self._waiting)))])

    async def _store(self, together: list[_Waiting]) -> None:
        try:
            outcomes = await self._telemetry.ingest([delivery for delivery, _ in together])
        except StoreError as error:
            metrics.STORE_ERRORS.labels("intake").inc()
            # Those behind would wait as long, and for the same answer.
            for _, done in (*together, *self._waiting):
                _fail(done, error)
            self._waiting.clear()
            return
        for (_, done), outcome in zip(together, outcomes, strict=True):
            if isinstance(outcome, StoreError):
                _fail(done, outcome)
            elif not done.done():
                done.set_result(outcome)


def _fail(done: asyncio.Future[Ingested], error: StoreError) -> None:
    # Nobody waits any more where the sender has gone.
    if not done.done():
        done.set_exception(StoreError(str(error)))
