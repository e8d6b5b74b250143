"""Which way a signal is read: the best that works on this node, and why not a better one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Generic, Protocol, TypeVar

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.retry import Retry
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import Backend

_log = logging.getLogger(__name__)

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


@dataclass(slots=True)
class _Way(Generic[R]):
    """A candidate, when it is tried again, and why it is not in use where it failed."""

    candidate: Candidate[R]
    retry: Retry
    refusal: Refusal | None = None


class Chain(Generic[R]):
    """Holds the best backend that works, of candidates in the order of preference.

    One that failed is tried again after pauses of its own, also while a lesser one works.

    Args:
        subject: what is read, for the log.
        candidates: the best one first.
        retry: makes what tells when a candidate is tried again.
    """

    def __init__(self, subject: str, candidates: Sequence[Candidate[R]], *, retry: Callable[[], Retry] = Retry) -> None:
        self._subject = subject
        self._ways = [_Way(candidate, retry()) for candidate in candidates]
        self._asked = Backend.AUTO
        self._held: tuple[_Way[R], R] | None = None

    @property
    def reader(self) -> R | None:
        """The backend in use, opened; ``None`` where none works."""
        return self._held[1] if self._held else None

    @property
    def backend(self) -> Backend | None:
        """Its name."""
        return self._held[0].candidate.backend if self._held else None

    @property
    def restarts(self) -> int:
        """How often backends that had failed were tried again."""
        return sum(way.retry.restarts for way in self._ways)

    async def ensure(self, asked: Backend) -> R | None:
        """Return the best backend that works, or the one that is asked for; open it where it is due."""
        if asked != self._asked:
            self.close()
            self._asked = asked
        for way in self._better():
            if way.retry.due:
                opened = await self._opened(way)
                if opened is not None:
                    self.close()
                    self._held = (way, opened)
                    break
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
        """Drop the backend in use, which does not work any more."""
        if self._held is not None:
            way = self._held[0]
            self.close()
            self._refuse(way, error)

    def close(self) -> None:
        """Let go of the backend in use."""
        if self._held is not None:
            self._held[1].close()
            self._held = None

    def signal(self, name: str) -> Signal:
        """Return how ``name``, one of the signals that this backend reads, fares."""
        refusals = self._refusals()
        if not refusals and self._held is None:
            return Signal(name=name, state=SignalState.DEGRADED, reason="Starting", message="not attached yet")
        if not refusals:
            return Signal(name=name, backend=self.backend or "", state=SignalState.ACTIVE)
        words = "; ".join(f"{refusal.backend}: {refusal.message}" for refusal in refusals)
        return Signal(
            name=name,
            backend=self.backend or "",
            state=SignalState.DEGRADED,
            reason=refusals[0].reason,
            message=words[:_MESSAGE],
        )

    def _eligible(self) -> list[_Way[R]]:
        return [way for way in self._ways if self._asked in (Backend.AUTO, way.candidate.backend)]

    def _better(self) -> Iterator[_Way[R]]:
        """Yield those that are preferred to the one in use; all where there is none."""
        return takewhile(lambda way: self._held is None or way is not self._held[0], self._eligible())

    def _refusals(self) -> list[Refusal]:
        if not self._eligible():
            words = f"{self._subject} cannot be read by {self._asked}: set spec.ebpf.backend: Auto"
            return [Refusal(self._asked, "BackendUnsuitable", words)]
        return [way.refusal for way in self._better() if way.refusal]

    async def _opened(self, way: _Way[R]) -> R | None:
        try:
            reader = await way.candidate.open()
        except ProbeError as error:
            self._refuse(way, error)
            return None
        except asyncio.CancelledError:
            way.retry.failed()  # also where this is given up half-way: a try may take a second of a core
            raise
        except Exception as error:  # noqa: BLE001 - a backend fails alone, however it fails
            _log.error("a backend cannot be opened", exc_info=error, extra={"subject": self._subject})
            words = f"{type(error).__name__}: {error}: this is a fault of the agent, its log has more"
            self._refuse(way, ProbeError("SourceFailed", words))
            return None
        way.retry.succeeded()
        way.refusal = None
        _log.info("attached", extra={"subject": self._subject, "backend": way.candidate.backend})
        return reader

    def _refuse(self, way: _Way[R], error: ProbeError) -> None:
        way.retry.failed(lasting=error.lasting)
        refusal = Refusal(way.candidate.backend, error.reason, error.message)
        if refusal != way.refusal:
            extra = {"subject": self._subject, "backend": refusal.backend, "reason": refusal.reason}
            _log.warning("a backend does not work", extra={**extra, "detail": refusal.message})
        way.refusal = refusal
