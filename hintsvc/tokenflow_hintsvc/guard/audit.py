"""Records what was administered and denied: as log lines, and in the log that the replicas share."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tokenflow_api.audit import AuditEntry
from tokenflow_api.serving.audit import FLUSH_S, Record
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import ProblemError

_log = logging.getLogger(__name__)

DENIALS: Final = (401, 403, 429)
"""Statuses of problems that deny somebody something."""


class Log(Protocol):
    """Where entries are kept."""

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries.

        Raises:
            StoreError: they cannot be kept.
        """


class Audit:
    """Collects what happens, and hands it on every few seconds.

    Args:
        replica: name of this replica.
        log: shared by the replicas.
        now_unix_ms: the time.
    """

    def __init__(
        self, log: Log, *, replica: str, now_unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._log = log
        self._record = Record(replica=replica, figures=metrics.SERVING, now_unix_ms=now_unix_ms)

    def done(self, action: str, *, reason: str = "", subject: str = "") -> None:
        """Record something that was administered: by somebody, or by this replica itself."""
        self._record.done(action, reason=reason, subject=subject)

    def refused(self, problem: ProblemError, *, action: str, subject: str, address: str) -> None:
        """Record a problem, if it is one that denies.

        Args:
            problem: what was answered.
            action: method and route, without what the caller chose.
            subject: who asked.
            address: from where.
        """
        if problem.status in DENIALS:
            self._record.denied(problem.code, action=action, subject=subject, address=address)

    async def run(self) -> None:
        """Hand on what was collected, for ever and once more at the end."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Hand on what was collected; what the shared log cannot take stands in the log lines alone."""
        entries = self._record.flush()
        if not entries:
            return
        try:
            await self._log.append(entries)
        except StoreError as error:
            metrics.STORE_ERRORS.labels("audit").inc()
            _log.warning("audit entries were not shared", extra={"reason": str(error), "entries": len(entries)})
