"""Keeps what is gone for a while."""

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

TOMBSTONE_S: Final = 60.0
"""How long a pod that ended is remembered, for the last windows of its sockets."""

K = TypeVar("K")
V = TypeVar("V")


class Tombstones(Generic[K, V]):
    """What there is, and what there was until ``TOMBSTONE_S`` ago."""

    def __init__(self) -> None:
        self._kept: Mapping[K, V] = {}
        self._gone: dict[K, float] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return what ``key`` is or was."""
        return self._kept.get(key)

    def update(self, present: Mapping[K, V], *, now: float) -> None:
        """Take over what there is at ``now``, in seconds of a monotonic clock."""
        gone = self._kept.keys() - present.keys()
        since = {key: self._gone.get(key, now) for key in gone}
        self._gone = {key: at for key, at in since.items() if now - at <= TOMBSTONE_S}
        self._kept = {key: self._kept[key] for key in self._gone} | dict(present)
