"""Registers: named documents in Redis that run out unless they are renewed, read without a search over all keys."""

from typing import Final, cast

from tokenflow_hintsvc.store.connection import Connection, mapped

_PRUNE: Final = """
local function prune(values, ends)
  local now = redis.call('TIME')
  local now_us = now[1] * 1000000 + now[2]
  local last = string.format('%.0f', now_us)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', last)) do redis.call('HDEL', values, name) end
  redis.call('ZREMRANGEBYSCORE', ends, '-inf', last)
  return now_us
end
"""

PUT: Final = (
    _PRUNE
    + """
local function put(values, ends, name, document, ttl_ms)
  local now_us = prune(values, ends)
  redis.call('HSET', values, name, document)
  redis.call('ZADD', ends, string.format('%.0f', now_us + ttl_ms * 1000), name)
  redis.call('PEXPIRE', values, ttl_ms)
  redis.call('PEXPIRE', ends, ttl_ms)
end
"""
)
"""Defines ``put`` for scripts that enter a document beside other work."""

_ENTER: Final = PUT + "put(KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3]))"
_ALL: Final = _PRUNE + "prune(KEYS[1], KEYS[2]) return redis.call('HVALS', KEYS[1])"


class Register:
    """The documents of one kind.

    Args:
        connection: to Redis.
        kind: begins the names of its keys.
        ttl_ms: how long a document stays unless it is entered again.
    """

    def __init__(self, connection: Connection, kind: str, *, ttl_ms: int) -> None:
        self.keys: Final = [connection.key(kind), connection.key(f"{kind}-ends")]
        self._connection = connection
        self._ttl_ms = ttl_ms
        self._enter = connection.script(_ENTER)
        self._all = connection.script(_ALL)

    async def enter(self, name: str, document: str) -> None:
        """Enter a document, or renew it.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            await self._enter(keys=self.keys, args=[name, document, self._ttl_ms])

    async def remove(self, name: str) -> None:
        """Forget a document.

        Raises:
            StoreError: Redis does not answer.
        """
        values, ends = self.keys
        async with mapped(), self._connection.redis.pipeline(transaction=True) as pipeline:
            pipeline.hdel(values, name)
            pipeline.zrem(ends, name)
            await pipeline.execute()

    async def all(self) -> list[bytes]:
        """Return the documents that have not run out, in any order.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            return cast("list[bytes]", await self._all(keys=self.keys, args=[]))
