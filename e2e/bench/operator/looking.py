"""Waits for something to be so, by watches alone: to ask again and again would be a load of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

from e2e.bench.errors import BenchError
from e2e.bench.operator.api import Api, Manifest
from tokenflow_operator.kube.kinds import Kind

T = TypeVar("T")

_AGAIN_S: Final = 0.1


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

    async def begin(self, manifests: list[Manifest]) -> None:
        """Take in a listing in place of all that was known."""
        async with self._changed:
            self.objects = {_key(manifest): self._keep(manifest) for manifest in manifests}
            self._changed.notify_all()

    async def take(self, type_: str, manifest: Manifest) -> None:
        """Take in a change."""
        async with self._changed:
            if type_ == "DELETED":
                self.objects.pop(_key(manifest), None)
            else:
                self.objects[_key(manifest)] = self._keep(manifest)
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
        BenchError: the API server did not do what it was asked.
    """
    made = Mirror(keep)
    items, version = await api.list(kind, labels=labels)
    await made.begin(items)
    following = asyncio.create_task(_follow(api, made, kind, labels=labels, since=version))
    try:
        yield made
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def _follow(api: Api, mirror: Mirror[T], kind: Kind, *, labels: str, since: str) -> None:
    """Keep a mirror like the API. Runs until cancelled."""
    while True:
        async for event in api.watch(kind, since=since, labels=labels):
            if event.type == "ERROR":
                break
            await mirror.take(event.type, event.object)
        # The API server ends a watch that does not keep up.
        await asyncio.sleep(_AGAIN_S)
        items, since = await api.list(kind, labels=labels)
        await mirror.begin(items)


def _key(manifest: Manifest) -> tuple[str, str]:
    meta = manifest["metadata"]
    return meta.get("namespace", ""), meta["name"]
