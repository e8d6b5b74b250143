"""Keeps the cache like the API for one kind: lists it, watches what happens next, and lists it again now and then.

A watch that breaks is taken up where it ended. One that the API no longer can take up there (410), or that has run
for the resync period, is followed by a new listing: what was missed in a gap is found by it.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NoReturn

from tokenflow_operator import metrics
from tokenflow_operator.errors import ForbiddenError, GoneError, KubeError, NotFoundError, UnavailableError
from tokenflow_operator.feed import Feed
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.kube import Kind, Kube
from tokenflow_operator.workqueue import Backoff

_WATCH_S: Final = 300.0
_SHORT_S: Final = 5.0
_STEADY_S: Final = 30.0
"""Seconds that a watch, and a listing with the watches after it, last while all is well."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reflected:
    """What is kept like the API.

    Attributes:
        kind: of the objects.
        namespace: the only one; all of them for an empty name.
        labels: that the objects carry.
        watched: whether to watch it, besides listing it; otherwise somebody else tells the feed of changes.
    """

    kind: Kind
    namespace: str
    labels: str = ""
    watched: bool = True


class Reflector:
    """Feeds the cache with one kind."""

    def __init__(
        self,
        reflected: Reflected,
        *,
        kube: Kube,
        feed: Feed,
        heartbeat: Heartbeat,
        period_s: Callable[[], float],
        turns: asyncio.Semaphore,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Feed a cache.

        Args:
            reflected: what is listed and watched.
            kube: where.
            feed: is told.
            heartbeat: is told of every sign of the API.
            period_s: draws the seconds between two listings.
            turns: bounds how many kinds are listed at a time.
            backoff: between attempts.
            clock: monotonic seconds.
        """
        self._reflected = reflected
        self._name = reflected.kind.kind
        self._kube = kube
        self._feed = feed
        self._heartbeat = heartbeat
        self._period_s = period_s
        self._turns = turns
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._version = ""

    async def run(self, on_listed: Callable[[], None]) -> NoReturn:
        """Feed until cancelled, and call ``on_listed`` after each listing.

        Raises:
            KubeError: an optional kind is not served, or may not be read.
        """
        failures = 0
        while True:
            started = self._clock()
            cause: KubeError | None = None
            try:
                await self._list()
                metrics.LISTINGS.labels(kind=self._name, result="ok").inc()
                on_listed()
                await self._follow()
            except KubeError as error:
                metrics.LISTINGS.labels(kind=self._name, result="error").inc()
                if self._reflected.kind.optional and isinstance(error, NotFoundError | ForbiddenError):
                    raise
                cause = error
            failures = 0 if self._clock() - started > _STEADY_S else failures + 1
            if failures:
                await self._pause(cause, failures)

    async def _list(self) -> None:
        reflected = self._reflected
        uids: set[str] = set()
        versions: list[str] = []
        listing = self._kube.pages(
            reflected.kind,
            namespace=reflected.namespace,
            labels=reflected.labels,
            known=functools.partial(self._feed.knows, reflected.kind) if self._version else None,
        )
        async with self._turns, aclosing(listing) as pages:
            async for page in pages:
                self._heartbeat.beat()
                versions.append(page.version)
                uids |= page.uids
                for manifest in page.items:
                    self._feed.put(reflected.kind, manifest)
        self._version = versions[0]
        self._feed.retain(reflected.kind, uids, version=int(self._version))

    async def _follow(self) -> None:
        """Watch on, until it is time for the next listing."""
        until = self._clock() + self._period_s()
        if not self._reflected.watched:
            await asyncio.sleep(until - self._clock())
            return
        failures = 0
        while (left_s := until - self._clock()) > 1:
            started = self._clock()
            cause: KubeError | None = None
            try:
                await self._watch(timeout_s=int(min(left_s, _WATCH_S)))
            except GoneError as error:
                _log.info("a watch is taken up by a listing", extra={"kind": self._name, "cause": str(error)})
                return
            except UnavailableError as error:
                cause = error
            # What ends each watch at once must not be asked without a pause, even if it says something before.
            failures = 0 if self._clock() - started > _SHORT_S else failures + 1
            if failures:
                await self._pause(cause, failures)

    async def _watch(self, *, timeout_s: int) -> None:
        """Watch until the API ends it."""
        reflected = self._reflected
        watch = self._kube.watch(
            reflected.kind,
            namespace=reflected.namespace,
            labels=reflected.labels,
            version=self._version,
            timeout_s=timeout_s,
        )
        async with aclosing(watch) as events:
            async for event in events:
                self._heartbeat.beat()
                if event.type == "DELETED":
                    self._feed.drop(reflected.kind, event.manifest)
                elif event.type != "BOOKMARK":
                    self._feed.put(reflected.kind, event.manifest)
                self._version = event.manifest["metadata"]["resourceVersion"]

    async def _pause(self, cause: KubeError | None, failures: int) -> None:
        asked_s = cause.retry_after_s if isinstance(cause, UnavailableError) else 0.0
        pause_s = max(asked_s, self._backoff.delay_s(failures))
        words = str(cause) if cause else "it ended at once"
        _log.warning(
            "not listed or watched", extra={"kind": self._name, "cause": words, "retry_in_s": round(pause_s, 2)}
        )
        self._heartbeat.beat()
        await asyncio.sleep(pause_s)
