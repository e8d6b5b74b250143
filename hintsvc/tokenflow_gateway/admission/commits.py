"""Tells the hint service what finished requests took, behind their readers' backs."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tokenflow_api.backoff import Backoff
from tokenflow_api.quota import CommitReply, CommitRequest
from tokenflow_api.tasks import lasting
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.errors import QuotaUnavailableError

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 50_000
"""Commits that wait out an outage, as many as the hint service keeps; beyond it the oldest is dropped, and counted:
what it reserved stays charged."""
SENDERS: Final = 16
"""Commits on their way at once: a stream's place is free when its commit has arrived, and each waits for Redis."""
_MOST_PAUSE_S: Final = 5.0


class Committer(Protocol):
    """Takes commits."""

    async def commit(self, done: CommitRequest) -> CommitReply | None:
        """Deliver one; ``QuotaUnavailableError`` asks to send it again."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    done: CommitRequest
    until: float


class Commits:
    """Delivers commits in the background, and again while the hint service is away.

    A commit counts once, however often it is sent. It is dropped when its reservation has ended, for it would count
    no more.

    Args:
        client: that delivers.
        clock: monotonic, in seconds.
    """

    def __init__(self, client: Committer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        # Wakes one sender for each commit, where an event would wake them all.
        self._arrived = asyncio.Semaphore(0)
        self._settled = asyncio.Event()
        self._settled.set()
        self._sending = 0

    def add(self, done: CommitRequest, *, life_s: float) -> None:
        """Have ``done`` delivered within ``life_s``, what is left of its reservation's life."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            metrics.COMMITS.labels("dropped").inc()
        else:
            self._arrived.release()
        self._waiting.append(_Waiting(done, self._clock() + life_s))
        self._settled.clear()
        self._measure()

    async def run(self) -> None:
        """Deliver for ever."""
        await lasting(*(self._send() for _ in range(SENDERS)))

    async def drain(self, *, within_s: float) -> int:
        """Wait until all is delivered while ``run`` goes on; return how many are not after ``within_s``."""
        try:
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        except TimeoutError:
            _log.warning("commits are lost with this gateway", extra={"commits": self._left()})
        return self._left()

    def _left(self) -> int:
        return len(self._waiting) + self._sending

    def _measure(self) -> None:
        metrics.COMMITS_WAITING.set(self._left())
        if not self._left():
            self._settled.set()

    async def _send(self) -> None:
        backoff = Backoff(most_s=_MOST_PAUSE_S)
        while True:
            await self._arrived.acquire()
            await self._deliver(self._waiting.popleft(), backoff)

    async def _deliver(self, one: _Waiting, backoff: Backoff) -> None:
        if self._clock() >= one.until:
            metrics.COMMITS.labels("expired").inc()
            self._measure()
            return
        self._sending += 1
        try:
            reply = await self._client.commit(one.done)
        except QuotaUnavailableError as error:
            self._waiting.appendleft(one)
            reason = str(error)
        else:
            backoff.succeeded()
            metrics.COMMITS.labels(_outcome(reply)).inc()
            return
        finally:
            self._sending -= 1
            self._measure()
        pause = backoff.failed()
        _log.debug("a commit waits", extra={"reason": reason, "retry_s": round(pause, 2)})
        await asyncio.sleep(pause)
        self._arrived.release()


def _outcome(reply: CommitReply | None) -> str:
    if reply is None:
        return "refused"
    if not reply.committed:
        return "unknown"
    return "kept" if reply.local else "counted"
