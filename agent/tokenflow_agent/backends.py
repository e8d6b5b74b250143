"""Which way a signal is read: the best that works on this node, and why not a better one."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from tokenflow_agent.errors import ProbeError
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import Backend

_log = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""Pause before backends are tried again where none works, but for those whose refusal lasts."""
BETTER_S: Final = 300.0
"""Pause before a better backend is tried again while a lesser one works."""
_MESSAGE: Final = 1024


class Reader(Protocol):
    """An opened backend."""

    def close(self) -> None:
        """Let go of what it holds."""


R = TypeVar("R", bound=Reader)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[R]):
    """A way to read.

    Attributes:
        backend: its name.
        open: opens it; raises ProbeError where the node does not allow it.
    """

    backend: Backend
    open: Callable[[], Awaitable[R]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a backend is not in use."""

    backend: Backend
    reason: str
    message: str


class Chain(Generic[R]):
    """Holds the best backend that works, of candidates in the order of preference.

    Args:
        subject: what is read, for the log.
        candidates: the best one first.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, subject: str, candidates: Sequence[Candidate[R]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._subject = subject
        self._candidates = candidates
        self._clock = clock
        self._asked = Backend.AUTO
        self._held: tuple[Candidate[R], R] | None = None
        self._refusals: tuple[Refusal, ...] = ()
        self._try_at = float("-inf")
        self._failed: dict[Backend, tuple[float, Refusal]] = {}

    @property
    def reader(self) -> R | None:
        """The backend in use, opened; ``None`` where none works."""
        return self._held[1] if self._held else None

    @property
    def backend(self) -> Backend | None:
        """Its name."""
        return self._held[0].backend if self._held else None

    async def ensure(self, asked: Backend) -> R | None:
        """Return the best backend that works, or the one that is asked for; open it where it is due."""
        if asked != self._asked:
            self.close()
            self._asked = asked
        best = self._held is not None and not self._refusals
        if best or self._clock() < self._try_at:
            return self.reader
        await self._open()
        return self.reader

    async def read(self, work: Callable[[R], Awaitable[T]]) -> T | None:
        """Return what ``work`` reads by the backend in use; ``None`` where none works, or this one has just failed."""
        reader = self.reader
        if reader is None:
            return None
        try:
            return await work(reader)
        except ProbeError as error:
            self.failed(error)
            return None

    def failed(self, error: ProbeError) -> None:
        """Drop the backend in use, which does not work any more; it is not taken again for ``RETRY_S``."""
        if self._held is None:
            return
        candidate, reader = self._held
        reader.close()
        refusal = Refusal(candidate.backend, error.reason, error.message)
        self._failed[candidate.backend] = (self._clock() + RETRY_S, refusal)
        self._held, self._refusals = None, (*self._refusals, refusal)
        self._try_at = float("-inf")
        _log.warning(
            "a backend failed",
            extra={
                "subject": self._subject,
                "backend": candidate.backend,
                "reason": error.reason,
                "detail": str(error),
            },
        )

    def close(self) -> None:
        """Let go of the backend in use."""
        if self._held is not None:
            self._held[1].close()
        self._held, self._refusals, self._try_at = None, (), float("-inf")

    def signal(self, name: str) -> Signal:
        """Return how ``name``, one of the signals that this backend reads, fares."""
        if self._held is None and not self._refusals:
            return Signal(name=name, state=SignalState.DEGRADED, reason="Starting", message="not attached yet")
        if not self._refusals:
            return Signal(name=name, backend=self.backend or "", state=SignalState.ACTIVE)
        words = "; ".join(f"{refusal.backend}: {refusal.message}" for refusal in self._refusals)
        return Signal(
            name=name,
            backend=self.backend or "",
            state=SignalState.DEGRADED,
            reason=self._refusals[0].reason,
            message=words[:_MESSAGE],
        )

    async def _open(self) -> None:
        # Also where this is given up half-way: to try again may take a second of a core.
        self._try_at = self._clock() + RETRY_S
        refusals: list[Refusal] = []
        for candidate in self._candidates:
            if self._asked not in (Backend.AUTO, candidate.backend):
                continue
            if self._held is not None and candidate is self._held[0]:
                break
            opened = await self._opened(candidate)
            if isinstance(opened, Refusal):
                refusals.append(opened)
                continue
            if self._held is not None:
                self._held[1].close()
            self._held = (candidate, opened)
            _log.info("attached", extra={"subject": self._subject, "backend": candidate.backend})
            break
        if not refusals and self._held is None:
            words = f"{self._subject} cannot be read by {self._asked}: set spec.ebpf.backend: Auto"
            refusals.append(Refusal(self._asked, "BackendUnsuitable", words))
        self._tell(refusals)
        self._refusals = tuple(refusals)
        if self._held:
            self._try_at = self._clock() + BETTER_S

    async def _opened(self, candidate: Candidate[R]) -> R | Refusal:
        until, refusal = self._failed.get(candidate.backend, (float("-inf"), None))
        if refusal is not None and self._clock() < until:
            return refusal
        try:
            return await candidate.open()
        except ProbeError as error:
            refusal = Refusal(candidate.backend, error.reason, error.message)
            if error.lasting:
                self._failed[candidate.backend] = (float("inf"), refusal)
            return refusal
        except Exception as error:  # noqa: BLE001 - a backend fails alone, however it fails
            _log.error("a backend cannot be opened", exc_info=error, extra={"subject": self._subject})
            words = f"{type(error).__name__}: {error}: this is a fault of the agent, its log has more"
            return Refusal(candidate.backend, "SourceFailed", words)

    def _tell(self, refusals: list[Refusal]) -> None:
        for refusal in refusals:
            if refusal not in self._refusals:
                extra = {"subject": self._subject, "backend": refusal.backend, "reason": refusal.reason}
                _log.warning("a backend was refused", extra={**extra, "detail": refusal.message})
