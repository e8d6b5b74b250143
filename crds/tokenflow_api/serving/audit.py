"""Collects what is administered and denied, and writes it as log lines.

The same denial again and again becomes one entry with a count, so that a flood costs a few lines.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tokenflow_api.audit import AuditEntry, Outcome
from tokenflow_api.serving.figures import Figures

_log = logging.getLogger("tokenflow.audit")
# Whatever else is logged.
_log.setLevel(logging.INFO)

FLUSH_S: Final = 5.0
"""Time that a server lets entries come together."""
MAX_DENIALS: Final = 64
"""Different ones between two calls of ``flush``; what comes on top is counted as one."""
_OTHER: Final = "~other"


class _Event(NamedTuple):
    outcome: Outcome
    action: str
    subject: str
    address: str
    reason: str


class Record:
    """What happened since it was last written down.

    Args:
        replica: name of this server.
        figures: count denials.
        now_unix_ms: the time.
    """

    def __init__(
        self, *, replica: str, figures: Figures, now_unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._replica = replica
        self._figures = figures
        self._now_unix_ms = now_unix_ms
        self._events: Counter[_Event] = Counter()
        self._denials = 0

    def done(self, action: str, *, reason: str = "", subject: str = "") -> None:
        """Record something that was administered: by somebody, or by this server itself."""
        self._events[_Event(Outcome.DONE, action, subject, "", reason)] += 1

    def denied(self, code: str, *, action: str, subject: str, address: str) -> None:
        """Record that somebody was denied something.

        Args:
            code: of the answer.
            action: method and route, without what the caller chose.
            subject: who asked.
            address: from where.
        """
        self._figures.denied.labels(code).inc()
        event = _Event(Outcome.DENIED, action, subject, address, code)
        if event not in self._events:
            self._denials += 1
            if self._denials > MAX_DENIALS:
                event = event._replace(action=_OTHER, subject=_OTHER, address=_OTHER)
        self._events[event] += 1

    def flush(self) -> Sequence[AuditEntry]:
        """Write what was collected, and return it."""
        events, self._events, self._denials = self._events, Counter(), 0
        at = self._now_unix_ms()
        entries = [
            AuditEntry(at_unix_ms=at, replica=self._replica, count=count, **event._asdict())
            for event, count in events.items()
        ]
        for entry in entries:
            _log.info(f"{entry.outcome} {entry.action}", extra={"audit": entry.model_dump(mode="json")})
        return entries
