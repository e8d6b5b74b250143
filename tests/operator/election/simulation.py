"""Replicas of the operator that elect a leader in virtual time, through an API that delays, loses and freezes."""

import asyncio
import copy
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tokenflow_operator.election import Election
from tokenflow_operator.election.lease import record_of
from tokenflow_operator.errors import ConflictError, NotFoundError, NotLeadingError, UnavailableError
from tokenflow_operator.kube import Kind, Manifest

T = TypeVar("T")


class EndedError(Exception):
    """The process ended itself."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to when the next timer is due; ``on_step`` is called before each jump."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_step: Callable[[], None] = lambda: None
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for ever"
        self._loop.on_step()
        self._loop.now += timeout
        return super().select(0)


class Store:
    """The Lease in the API server: each write is whole, and refused if it was made from another version."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.writes: list[tuple[float, str]] = []
        self._version = 0

    def read(self) -> Manifest:
        if self.lease is None:
            raise NotFoundError("no such lease")
        return copy.deepcopy(self.lease)

    def create(self, manifest: Manifest) -> Manifest:
        if self.lease is not None:
            raise ConflictError("it exists")
        return self._write(manifest)

    def replace(self, manifest: Manifest) -> Manifest:
        current = self.read()
        if current["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise ConflictError("it was changed")
        return self._write(manifest)

    def _write(self, manifest: Manifest) -> Manifest:
        self._version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self._version)
        self.writes.append((asyncio.get_running_loop().time(), record_of(self.lease).holder))
        return self.read()


class Network:
    """How one replica reaches the store. With ``faults`` each call may be slow, lost, late or overslept."""

    def __init__(self, store: Store, *, draw: random.Random, faults: bool) -> None:
        self._store = store
        self._draw = draw
        self._deliveries: set[asyncio.Task[None]] = set()
        self.faults = faults
        self.cut = False

    async def get(self, _: Kind, *, namespace: str, name: str) -> Manifest:
        assert (namespace, name) == ("system", "lease")
        return await self._call(self._store.read)

    async def create(self, _: Kind, manifest: Manifest) -> Manifest:
        return await self._call(lambda: self._store.create(manifest))

    async def replace(self, _: Kind, manifest: Manifest) -> Manifest:
        return await self._call(lambda: self._store.replace(manifest))

    async def _call(self, action: Callable[[], T]) -> T:
        fate = self._draw.choice(["well"] * 6 + ["lost", "late", "unheard", "frozen"]) if self.faults else "well"
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        if fate != "lost" and not self.cut:
            there_s = self._draw.uniform(0, 12) if fate == "late" else self._draw.uniform(0.001, 0.02)
            # A request goes on its way whatever becomes of who sent it.
            delivery = asyncio.ensure_future(self._deliver(action, answer, after_s=there_s, heard=fate != "unheard"))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
        if fate == "frozen":
            return await _oversleeping(answer, self._draw.uniform(0, 25))
        return await answer

    async def _deliver(
        self, action: Callable[[], T], answer: asyncio.Future[T], *, after_s: float, heard: bool
    ) -> None:
        await asyncio.sleep(after_s)
        try:
            result = action()
        except (ConflictError, NotFoundError, UnavailableError) as error:
            if heard and not answer.done():
                answer.set_exception(error)
        else:
            if heard and not answer.done():
                answer.set_result(result)


async def _oversleeping(answer: asyncio.Future[T], for_s: float) -> T:
    """Return the answer as a process finds it that was frozen meanwhile: its own timeouts fire only after that."""
    asleep, cancelled = asyncio.ensure_future(asyncio.sleep(for_s)), False
    while not asleep.done():
        try:
            await asyncio.shield(asleep)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return await answer


class Replica:
    """One process, and those that follow it in its place."""

    def __init__(self, number: int, store: Store, *, draw: random.Random, faults: bool) -> None:
        self.number = number
        self.network = Network(store, draw=draw, faults=faults)
        self.lives = 0
        self.ended = 0
        self._rate, self._offset = (draw.uniform(0.9, 1.1), draw.uniform(0, 1e6)) if faults else (1.0, 0.0)
        self._start()

    def clock(self) -> float:
        return self._offset + self._rate * asyncio.get_running_loop().time()

    def jump(self, by_s: float) -> None:
        """Let the clock jump, as that of a machine that was suspended."""
        self._offset += by_s

    @property
    def identity(self) -> str:
        return f"replica-{self.number}_{self.lives}"

    @property
    def may_write(self) -> bool:
        try:
            return self.election.budget_s() > 0
        except NotLeadingError:
            return False

    @property
    def writes_may_be_under_way(self) -> bool:
        """Whether a write that the gate let pass may still be on its way."""
        return not self._released and self.election._candidacy.proof_left_s > 0

    async def kill(self) -> None:
        while not self.running.done():
            self.running.cancel()
            await asyncio.wait([self.running], timeout=1)
        self._released = True

    async def end_in_order(self) -> None:
        await self.kill()
        await self.election.release()

    async def restart(self) -> None:
        await self.kill()
        self._start()

    async def suffer(self, fate: str) -> None:
        match fate:
            case "kill":
                await self.restart()
            case "end":
                await self.end_in_order()
                await self.restart()
            case "cut":
                self.network.cut = True
            case "heal":
                self.network.cut = False

    async def recover(self) -> None:
        self.network.cut = self.network.faults = False
        await self.revive()

    async def revive(self) -> None:
        """Start again if the process has ended itself, as the kubelet does."""
        if self.running.done():
            assert isinstance(self.running.exception(), EndedError)
            await self.restart()

    def _start(self) -> None:
        self.lives += 1
        self._released = False
        self.election = Election(
            kube=self.network,  # type: ignore[arg-type] # the three calls that an election makes
            namespace="system",
            name="lease",
            identity=self.identity,
            clock=self.clock,
            end=self._end,
        )
        self.running = asyncio.ensure_future(self.election.run())
        self.running.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _end(self) -> None:
        self.ended += 1
        raise EndedError


def simulate(scenario: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(scenario(loop))
    finally:
        loop.on_step = lambda: None
        while tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=30))
        loop.close()
