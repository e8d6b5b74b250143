"""Waits for something to be so, by watches alone: to ask again and again would be a load of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from e2e.bench.errors import BenchError
from e2e.bench.operator.api import Api, Manifest
from tokenflow_operator.kube.kinds import Kind


class Mirror:
    """The objects of a kind as a watch tells of them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        self._changed = asyncio.Condition()

    async def until(self, so: Callable[["Mirror"], bool], *, within_s: float, what: str) -> None:
        """Wait until it is so.

        Raises:
            BenchError: it is not in time.
        """
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: so(self))
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
                self.objects[key] = manifest
            self._changed.notify_all()


@asynccontextmanager
async def mirror(api: Api, kind: Kind, *, namespace: str = "", labels: str = "") -> AsyncIterator[Mirror]:
    """Follow a kind until the block is left.

    Raises:
        BenchError: the watch ended before.
    """
    made = Mirror()
    items, version = await api.list(kind, namespace=namespace, labels=labels)
    for item in items:
        await made.take("ADDED", item)

    async def follow() -> None:
        async for event in api.watch(kind, since=version, namespace=namespace, labels=labels):
            if event.type == "ERROR":
                break
            await made.take(event.type, event.object)
        raise BenchError(f"the watch of {kind.plural} ended")

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        yield made
        following.cancel()
