"""The leader's snapshots, on their way to all replicas."""

from collections.abc import AsyncIterator
from typing import Final, cast

from tokenflow_api.hints import Snapshot
from tokenflow_hintsvc.store.connection import TIMEOUT_S, Connection, mapped
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.view.packed import PackedSnapshot, pack, unpack

_TTL_MS: Final = 60_000

_PUBLISH: Final = """
local term = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[2]) < term then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
"""


class Snapshots:
    """The newest snapshot, and a channel of those to come."""

    def __init__(self, connection: Connection, leadership: Leadership) -> None:
        self._connection = connection
        self._term_key = leadership.term_key
        self._publish = connection.script(_PUBLISH)

    async def publish(self, snapshot: Snapshot) -> bool:
        """Hand a snapshot to all replicas; return false when a newer leader has taken over."""
        args = [pack(snapshot), snapshot.term, _TTL_MS, self._channel]
        async with mapped():
            return bool(await self._publish(keys=[self._key, self._term_key], args=args))

    async def follow(self) -> AsyncIterator[PackedSnapshot | None]:
        """Yield the present snapshot and each one that follows; ``None`` when none came for a while."""
        async with mapped(), self._connection.redis.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            present = await self._connection.redis.get(self._key)
            if present:
                yield unpack(present)
            while True:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_S)
                yield unpack(cast("bytes", message["data"])) if message else None

    @property
    def _key(self) -> str:
        return self._connection.key("snapshot")

    @property
    def _channel(self) -> str:
        return self._connection.key("snapshots")
