"""The leader's lock, and the terms that fence out an old leader."""

from typing import Final, cast

from tokenflow_hintsvc.store.connection import Connection, mapped

LOCK_TTL_MS: Final = 3000
_TERM_TTL_MS: Final = 86_400_000

_ACQUIRE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = redis.call('TIME')
local term = now[1] * 1000 + math.floor(now[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if term <= last then term = last + 1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], string.format('%.0f', term), 'PX', ARGV[3])
return term
"""

_RENEW: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Leadership:
    """The lock that one replica at a time holds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._acquire = connection.script(_ACQUIRE)
        self._renew = connection.script(_RENEW)
        self._release = connection.script(_RELEASE)

    @property
    def term_key(self) -> str:
        """Key of the newest term: what a leader writes is refused when it is above the leader's own."""
        return self._connection.key("term")

    @property
    def _lock(self) -> str:
        return self._connection.key("leader")

    async def acquire(self, holder: str) -> int | None:
        """Try to become leader; return the new term, or ``None`` when there is a leader.

        Terms are times, so that they grow also over a Redis that lost all it knew.
        """
        async with mapped():
            args = [holder, LOCK_TTL_MS, _TERM_TTL_MS]
            return int(await self._acquire(keys=[self._lock, self.term_key], args=args)) or None

    async def renew(self, holder: str) -> bool:
        """Stay leader; return false when somebody else is, or nobody."""
        async with mapped():
            return bool(await self._renew(keys=[self._lock], args=[holder, LOCK_TTL_MS]))

    async def release(self, holder: str) -> None:
        """Stop being leader at once."""
        async with mapped():
            await self._release(keys=[self._lock], args=[holder])

    async def holder(self) -> str:
        """Return the leader's name, empty when there is none."""
        async with mapped():
            holder = cast("bytes | None", await self._connection.redis.get(self._lock))
        return holder.decode() if holder else ""
