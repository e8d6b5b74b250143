"""The leader's snapshots, on their way to all replicas."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, cast

from tokenflow_api.hints import Snapshot
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.connection import TIMEOUT_S, Connection, mapped
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.view.packed import PackedSnapshot, pack, unpack

_TTL_MS: Final = 60_000
SILENCES: Final = 3
"""A subscription on which nothing came for so many seconds is made anew: it may hang on a Redis that was replaced."""


class Snapshots:
    """The newest snapshot, and a channel of those to come."""

    def __init__(self, connection: Connection, leadership: Leadership) -> None:
        self._connection = connection
        self._leadership = leadership

    async def publish(self, snapshot: Snapshot) -> None:
        """Hand a snapshot to all replicas.

        Raises:
            StoreError: Redis does not answer.
            TermOverError: the snapshot's term is over.
        """
        packed = await asyncio.to_thread(pack, snapshot)
        await self._leadership.write(
            snapshot.term, self._key, packed, ttl_ms=_TTL_MS, channel=self._connection.key("snapshots")
        )

    async def follow(self) -> AsyncIterator[PackedSnapshot]:
        """Yield the present snapshot and each one that follows.

        Raises:
            StoreError: Redis does not answer, or nothing has come for a while.
        """
        async with mapped(deadline_s=None), self._connection.redis.pubsub() as subscription:
            await subscription.subscribe(self._connection.key("snapshots"))
            present = await self._connection.redis.get(self._key)
            if present:
                yield unpack(cast("bytes", present))
            silences = 0
            while silences < SILENCES:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_S)
                silences = 0 if message else silences + 1
                if message:
                    yield unpack(cast("bytes", message["data"]))
        raise StoreError(f"no leader has published for {SILENCES} s")

    @property
    def _key(self) -> str:
        return self._connection.key("snapshot")
