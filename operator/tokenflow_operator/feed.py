"""Brings what is told of the cluster into the cache, and into the queue what that concerns."""

from collections.abc import Collection
from typing import Final

from tokenflow_operator.cache import Cache, Change
from tokenflow_operator.concern import concerned, everyone, reading_of
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kind, Manifest
from tokenflow_operator.workqueue import WorkQueue

_GATHERED_S: Final = 1.0
"""Seconds in which what several hint services say of an agent becomes one pass."""


class Feed:
    """The way from the watches to the passes.

    Until all kinds have been listed nothing is queued: a pass over half a cluster would create what exists, and
    delete what it should not.
    """

    def __init__(self, cache: Cache, queue: WorkQueue[Key]) -> None:
        self._cache: Final = cache
        self._queue: Final = queue
        self._open = False

    def open(self) -> None:
        """Say that all kinds have been listed: every resource is queued, and from now on what changes."""
        self._open = True
        self._queue_everyone()

    def knows(self, kind: Kind, manifest: Manifest) -> bool:
        """Return whether an object is known in this version or a later one; its metadata are enough to tell."""
        return self._cache.knows(kind, manifest)

    def put(self, kind: Kind, manifest: Manifest) -> None:
        """Take an object that exists."""
        self._changed(self._cache.put(kind, manifest))

    def drop(self, kind: Kind, manifest: Manifest) -> None:
        """Take it that an object was deleted."""
        self._changed(self._cache.drop(kind, manifest))

    def retain(self, kind: Kind, uids: Collection[str], *, version: int) -> None:
        """Take it that a listing of that version showed these objects of a kind and no others."""
        for change in self._cache.retain(kind, uids, version=version):
            self._changed(change)

    def serve(self, kind: Kind) -> None:
        """Take it that the API serves an optional kind, and that its objects are known."""
        if kind not in self._cache.served:
            self._cache.served |= {kind}
            self._queue_everyone()

    def withdraw(self, kind: Kind) -> None:
        """Take it that an optional kind is not served, or may not be read."""
        self._cache.forget(kind)
        if kind in self._cache.served:
            self._cache.served -= {kind}
            self._queue_everyone()

    def heard_from(self, policy: Key) -> None:
        """Take it that a policy's hint service says something new."""
        self._queue.add(policy)
        for agent in reading_of(policy, self._cache):
            self._queue.add_after(agent, _GATHERED_S)

    def everyone(self) -> list[Key]:
        """Return the keys of all resources."""
        return everyone(self._cache)

    def look_again(self, key: Key) -> None:
        """Queue a resource, whatever was told of it."""
        self._queue.add(key)

    def _changed(self, change: Change | None) -> None:
        if change is None or not self._open:
            return
        for key in concerned(change, self._cache):
            self._queue.add(key)

    def _queue_everyone(self) -> None:
        if self._open:
            for key in everyone(self._cache):
                self._queue.add(key)
