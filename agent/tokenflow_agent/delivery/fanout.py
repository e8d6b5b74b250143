"""Delivers every window to every hint service that wants it, out of one spool."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tokenflow_agent.delivery.segment import Record
from tokenflow_agent.delivery.sender import Context, Delivery
from tokenflow_agent.delivery.spool import Content, Spool
from tokenflow_agent.delivery.state import DeliveryState, DestinationState
from tokenflow_api.telemetry import IngestAddress

_log = logging.getLogger(__name__)

T = TypeVar("T")


class _Backlog:
    """What one policy has to get: its end of the spool, and a bell for news."""

    def __init__(self, policy: str, spool: "_SpoolThread") -> None:
        self._policy = policy
        self._spool = spool
        self.news = asyncio.Event()

    async def first(self) -> Record:
        while True:
            # Before the look, so that what arrives meanwhile is not slept over.
            self.news.clear()
            record = await self._spool.run(lambda spool: spool.next(self._policy))
            if record is not None:
                return record
            await self.news.wait()

    async def acknowledge(self, record: Record, *, dropped: str = "") -> None:
        await self._spool.run(lambda spool: spool.acknowledge(self._policy, record, dropped=dropped))


class _SpoolThread:
    """The spool in a thread of its own: a disk that is slow must not make the windows late."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self.content = Content()
        self.changed = asyncio.Event()

    async def run(self, action: Callable[[Spool], T]) -> T:
        def act() -> T:
            result = action(self._spool)
            self.content = self._spool.content()
            return result

        result = await asyncio.get_running_loop().run_in_executor(self._thread, act)
        self.changed.set()
        return result

    def end(self) -> None:
        self._thread.shutdown()


@dataclass(frozen=True, slots=True)
class _Destination:
    delivery: Delivery
    backlog: _Backlog
    task: asyncio.Task[None]


class Deliveries:
    """All deliveries of the agent.

    Args:
        directory: of the spool.
        context: what all deliveries share.
        tasks: owns the deliveries.
    """

    def __init__(self, directory: Path, *, context: Context, tasks: asyncio.TaskGroup) -> None:
        self._spool = _SpoolThread(Spool(directory))
        self._context = context
        self._tasks = tasks
        self._destinations: dict[IngestAddress, _Destination] = {}
        self._followed: tuple[frozenset[str], int] = (frozenset(), 0)

    @property
    def state(self) -> DeliveryState:
        """How delivery fares."""
        content = self._spool.content
        now_ms = time.time_ns() // 1_000_000
        destinations = (self._state(each.delivery, content, now_ms) for each in self._destinations.values())
        return DeliveryState(content.state, tuple(destinations))

    async def follow(self, addresses: Sequence[IngestAddress], *, most_bytes: int) -> None:
        """Deliver to these addresses from now on, and to no others.

        Args:
            addresses: at most one per policy.
            most_bytes: bound on the spool.
        """
        wanted = {address.policy: address for address in addresses}
        for address in self._destinations.keys() - wanted.values():
            self._destinations.pop(address).task.cancel()
        names = frozenset(wanted)
        if self._followed != (names, most_bytes):
            self._followed = (names, most_bytes)
            await self._spool.run(lambda spool: spool.follow(names, most_bytes=most_bytes))
        for address in wanted.values() - self._destinations.keys():
            backlog = _Backlog(address.policy, self._spool)
            delivery = Delivery(address, queue=backlog, context=self._context)
            self._destinations[address] = _Destination(delivery, backlog, self._tasks.create_task(delivery.run()))

    async def add(self, document: bytes, *, at_unix_ms: int) -> None:
        """Have a window delivered.

        Args:
            document: the batch as it travels.
            at_unix_ms: when it was built.
        """

        def keep(spool: Spool) -> None:
            spool.append(document, at_unix_ms=at_unix_ms)
            spool.commit()

        await self._spool.run(keep)
        for destination in self._destinations.values():
            destination.backlog.news.set()

    async def close(self, *, timeout_s: float) -> None:
        """Deliver what waits, for at most ``timeout_s``; the rest stays on the disk for the next start."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(self._spool.content.waiting.values()):
                    self._spool.changed.clear()
                    await self._spool.changed.wait()
        except TimeoutError:
            _log.warning("windows are not delivered yet", extra={"waiting": dict(self._spool.content.waiting)})
        for destination in self._destinations.values():
            destination.task.cancel()
        await self._spool.run(Spool.close)
        self._spool.end()

    def _state(self, delivery: Delivery, content: Content, now_ms: int) -> DestinationState:
        oldest = delivery.in_flight
        return DestinationState(
            policy=delivery.policy,
            url=delivery.url,
            circuit=delivery.circuit,
            message=delivery.message,
            waiting=content.waiting.get(delivery.policy, 0),
            lag_ms=max(0, now_ms - oldest.at_unix_ms) if oldest else 0,
            outcomes=dict(delivery.outcomes),
            dropped=content.dropped.get(delivery.policy, {}),
        )
