"""Carries usage to Redis, behind the requests that caused it."""

import asyncio
import logging
from typing import Final

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.quota.usage import UsageBook
from tokenflow_hintsvc.store.usage import HourUsage, Usage

_log = logging.getLogger(__name__)

FLUSH_S: Final = 1.0


class UsageWriter:
    """Adds what the book counted to what Redis keeps; what was not acknowledged is sent again, and counts once."""

    def __init__(self, book: UsageBook, usage: Usage) -> None:
        self._book = book
        self._usage = usage
        self._sequence = 0
        self._unsent: list[HourUsage] = []

    async def run(self) -> None:
        """Write again and again, until cancelled; then write the rest."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self._flush()
        finally:
            await self._flush()
            self._book.close()
            await self._flush()
            if lost := [*self._unsent, *self._book.take()]:
                _log.error("usage ends with this replica: Redis is away", extra={"tenant_hours": len(lost)})

    async def _flush(self) -> None:
        if not self._unsent:
            self._unsent = self._book.take()
            self._sequence += 1
        if not self._unsent:
            return
        try:
            await self._usage.add(self._unsent, sequence=self._sequence)
        except StoreError as error:
            metrics.STORE_ERRORS.labels("usage").inc()
            _log.warning("usage waits for Redis", extra={"reason": str(error)})
        else:
            self._unsent.clear()
