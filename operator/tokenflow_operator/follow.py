"""Follows all kinds that plans read of, and the optional ones as they come and go."""

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Final

from tokenflow_api.tasks import ended, lasting
from tokenflow_operator.discovery import Discovery
from tokenflow_operator.errors import ForbiddenError, NotFoundError
from tokenflow_operator.feed import Feed
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.keys import OWNER_LABEL
from tokenflow_operator.kube import Kind, Kube
from tokenflow_operator.kube.kinds import CHILDREN, CONTROLLER_REVISION, NODE, OPTIONAL, OWNERS, POD
from tokenflow_operator.reflector import Reflected, Reflector

_LABELLED: Final = (*(kind for kind in CHILDREN if not kind.optional), POD, CONTROLLER_REVISION)
_DISCOVERY: Final = "discovery"
_LISTINGS_AT_A_TIME: Final = 3
_KOPF_MISSES_S: Final = 60.0
"""Seconds between two listings of our own resources: kopf does not tell what was deleted between two of its watches."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What the operator looks at.

    Attributes:
        namespace: the only one; all of them for an empty name.
        nodes: whether it may read nodes.
        resync_s: seconds between two listings of a kind, and two passes over a resource, more or less.
    """

    namespace: str
    nodes: bool
    resync_s: float


class Follower:
    """Keeps the cache like the cluster.

    Our own resources are only listed here: kopf watches them.

    Attributes:
        listed: set once all kinds have been listed.
    """

    def __init__(self, *, kube: Kube, feed: Feed, heartbeat: Heartbeat, reach: Reach) -> None:
        self._kube = kube
        self._feed = feed
        self._heartbeat = heartbeat
        self._reach = reach
        self.listed = asyncio.Event()
        self._turns = asyncio.Semaphore(_LISTINGS_AT_A_TIME)
        self._awaited: set[str] = set()
        self._following: dict[Kind, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            Exception: a part of it ended, which must not go unnoticed.
        """
        reach = self._reach
        reflected = [
            *(Reflected(kind=kind, namespace=reach.namespace, watched=False) for kind in OWNERS),
            *(Reflected(kind=kind, namespace=reach.namespace, labels=OWNER_LABEL) for kind in _LABELLED),
            *([Reflected(kind=NODE, namespace="")] if reach.nodes else []),
        ]
        self._awaited = {_DISCOVERY, *(one.kind.kind for one in reflected)}
        try:
            await lasting(
                *map(self._reflect, reflected), Discovery(kube=self._kube).run(self._found), self._look_again()
            )
        finally:
            await ended(*self._following.values())

    async def _reflect(self, reflected: Reflected) -> None:
        await self._reflector(reflected).run(lambda: self._listed(reflected.kind))

    def _reflector(self, reflected: Reflected) -> Reflector:
        return Reflector(
            reflected,
            kube=self._kube,
            feed=self._feed,
            heartbeat=self._heartbeat,
            period_s=self._period_s if reflected.watched else self._short_period_s,
            turns=self._turns,
        )

    def _listed(self, kind: Kind) -> None:
        if kind.optional:
            self._feed.serve(kind)
        self._no_longer_awaited(kind.kind)

    def _no_longer_awaited(self, what: str) -> None:
        if what not in self._awaited:
            return
        self._awaited.discard(what)
        if not self._awaited:
            _log.info("all kinds have been listed")
            self._feed.open()
            self.listed.set()
            self._heartbeat.synced()

    def _found(self, served: frozenset[Kind]) -> None:
        """Follow what is served from now on, and no longer what is not."""
        for kind in served - self._following.keys():
            if kind in CHILDREN:
                self._following[kind] = asyncio.create_task(self._follow_optional(kind))
            else:
                self._feed.serve(kind)
        for kind in frozenset(OPTIONAL) - served:
            if kind in self._following:
                self._following[kind].cancel()
            else:
                self._feed.withdraw(kind)
        if _DISCOVERY in self._awaited:
            self._awaited |= {kind.kind for kind in self._following}
            self._no_longer_awaited(_DISCOVERY)
        elif self._awaited <= {kind.kind for kind in self._following}:
            # Those of others may be broken for long, such as by a webhook that converts them and is away.
            for kind in self._following:
                self._no_longer_awaited(kind.kind)
        if not self._awaited:
            self._heartbeat.synced()
        self._heartbeat.beat()

    async def _follow_optional(self, kind: Kind) -> None:
        reflected = Reflected(kind=kind, namespace=self._reach.namespace, labels=OWNER_LABEL)
        try:
            await self._reflect(reflected)
        except (NotFoundError, ForbiddenError) as error:
            _log.info("an optional kind is done without", extra={"kind": kind.kind, "cause": str(error)})
        except Exception:  # noqa: BLE001 - the next discovery begins anew
            _log.exception("an optional kind is not followed by a defect", extra={"kind": kind.kind})
        finally:
            self._feed.withdraw(kind)
            self._no_longer_awaited(kind.kind)
            del self._following[kind]

    async def _look_again(self) -> None:
        """Queue each resource once in a period, one after the other: all at once would be a burst of work."""
        await self.listed.wait()
        while True:
            keys, period_s = self._feed.everyone(), self._period_s()
            if not keys:
                await asyncio.sleep(period_s)
            for key in keys:
                await asyncio.sleep(period_s / len(keys))
                self._feed.look_again(key)

    def _period_s(self) -> float:
        return self._reach.resync_s * _jitter()

    def _short_period_s(self) -> float:
        return min(self._reach.resync_s, _KOPF_MISSES_S) * _jitter()


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
