"""Waits for something to be so, by watches alone: to ask again and again would be a load of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from e2e.bench.errors import BenchError
from e2e.bench.operator.api import Api, Manifest
from tokenflow_operator.kube.kinds import Kind

T = TypeVar("T")


class Mirror(Generic[T]):
    """What a watch tells of the objects of a kind.

    Attributes:
        objects: what is kept of each, by namespace and name.
    """

    def __init__(self, keep: Callable[[Manifest], T]) -> None:
        self.objects: dict[tuple[str, str], T] = {}
        self._keep = keep
        self._changed = asyncio.Condition()

    async def until(self, so: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Wait until it is so.

        Raises:
            BenchError: it is not in time.
        """
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(so)
        except TimeoutError as error:
            raise BenchError(f"not within {within_s:.0f} s: {what}") from error

    async def take(self, type_: str, manifest: Manifest) -> None:
        """Take in a change."""
        meta = manifest["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        async with self._changed:
            if type_ == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = self._keep(manifest)
            self._changed.notify_all()


@asynccontextmanager
async def mirror(api: Api, kind: Kind, *, keep: Callable[[Manifest], T], labels: str = "") -> AsyncIterator[Mirror[T]]:
    """Follow a kind until the block is left.

    Args:
        api: where.
        kind: of the objects.
        keep: takes from each object what is looked at.
        labels: that the objects carry.

    Raises:
        BenchError: the watch ended before.
    """
    made = Mirror(keep)
    items, version = await api.list(kind, labels=labels)
    for item in items:
        await made.take("ADDED", item)

    async def follow() -> None:
        async for event in api.watch(kind, since=version, labels=labels):
            if event.type == "ERROR":
                break
            await made.take(event.type, event.object)
        raise BenchError(f"the watch of {kind.plural} ended")

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        yield made
        following.cancel()
