"""All telemetry of the last while, in the order of its time: for a new leader, and to train on."""

from collections.abc import AsyncIterator
from typing import Final, cast

from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.connection import Connection, mapped

MAX_BYTES: Final = 64 << 20
"""Kept of a policy's batches, as they travel; the oldest go first."""
TTL_MS: Final = 86_400_000
"""A history that nobody adds to goes after that time."""
_PAGE: Final = 256

APPEND: Final = """
local function append(history, size, batch, at, most, ttl)
  -- A Redis that is short of memory may have dropped one of them.
  if redis.call('EXISTS', history, size) < 2 then redis.call('UNLINK', history, size) end
  local bytes = redis.call('INCRBY', size, redis.call('ZADD', history, at, batch) * #batch)
  while bytes > most do
    bytes = redis.call('DECRBY', size, #redis.call('ZPOPMIN', history)[1])
  end
  redis.call('PEXPIRE', history, ttl)
  redis.call('PEXPIRE', size, ttl)
end
"""
"""Lua function that puts a batch where its time says, so that a late one stands among those of its time."""


class History:
    """The batches of all reporters; ``Telemetry.ingest`` adds to it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def since(self, at_unix_ms: int) -> AsyncIterator[StoredBatch]:
        """Yield the batches that were built at that time or later, in the order of their times.

        Batches that come meanwhile may be missed or not, and none is yielded twice.

        Raises:
            StoreError: Redis does not answer.
        """
        start, skip = at_unix_ms, 0
        while True:
            async with mapped():
                found = await self._connection.redis.zrangebyscore(
                    self.keys[0], start, "+inf", start=skip, num=_PAGE, withscores=True
                )
            page = [(data, int(at)) for data, at in cast("list[tuple[bytes, float]]", found)]
            for data, at in page:
                yield StoredBatch.unpack(data, at_unix_ms=at)
            if len(page) < _PAGE:
                return
            last = page[-1][1]
            skip = sum(at == last for _, at in page) + (skip if last == start else 0)
            start = last

    @property
    def keys(self) -> tuple[str, str]:
        """The history itself, and the count of its bytes."""
        return self._connection.key("history"), self._connection.key("history-bytes")
