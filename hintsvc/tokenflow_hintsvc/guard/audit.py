"""Records what was administered and denied: as log lines, and in the log that the replicas share.

The same denial again and again becomes one entry with a count, so that a flood costs a few lines.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from tokenflow_api.audit import AuditEntry, Outcome
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import ProblemError

_log = logging.getLogger(__name__)
_audit_log = logging.getLogger("tokenflow.audit")
# Whatever else is logged.
_audit_log.setLevel(logging.INFO)

FLUSH_S: Final = 5.0
MAX_DENIALS: Final = 64
"""Different ones within ``FLUSH_S``; what comes on top is counted as one."""
DENIALS: Final = (401, 403, 429)
"""Statuses of problems that deny somebody something."""
_OTHER: Final = "~other"


class _Event(NamedTuple):
    outcome: Outcome
    action: str
    subject: str
    address: str
    reason: str


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
        self._replica = replica
        self._now_unix_ms = now_unix_ms
        self._events: Counter[_Event] = Counter()
        self._denials = 0

    def done(self, action: str, *, reason: str = "", subject: str = "") -> None:
        """Record something that was administered: by somebody, or by this replica itself."""
        self._events[_Event(Outcome.DONE, action, subject, "", reason)] += 1

    def refused(self, problem: ProblemError, *, action: str, subject: str, address: str) -> None:
        """Record a problem, if it is one that denies.

        Args:
            problem: what was answered.
            action: method and route, without what the caller chose.
            subject: who asked.
            address: from where.
        """
        if problem.status not in DENIALS:
            return
        metrics.DENIED.labels(problem.code).inc()
        event = _Event(Outcome.DENIED, action, subject, address, problem.code)
        if event not in self._events:
            self._denials += 1
            if self._denials > MAX_DENIALS:
                event = event._replace(action=_OTHER, subject=_OTHER, address=_OTHER)
        self._events[event] += 1

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
        events, self._events, self._denials = self._events, Counter(), 0
        if not events:
            return
        at = self._now_unix_ms()
        entries = [
            AuditEntry(at_unix_ms=at, replica=self._replica, count=count, **event._asdict())
            for event, count in events.items()
        ]
        for entry in entries:
            _audit_log.info(f"{entry.outcome} {entry.action}", extra={"audit": entry.model_dump(mode="json")})
        try:
            await self._log.append(entries)
        except StoreError as error:
            metrics.STORE_ERRORS.labels("audit").inc()
            _log.warning("audit entries were not shared", extra={"reason": str(error), "entries": len(entries)})
