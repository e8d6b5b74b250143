"""The leader's lock, and the terms that fence out an old leader."""

from typing import Final, cast

from tokenflow_hintsvc.errors import TermOverError
from tokenflow_hintsvc.store.connection import Connection, mapped

LOCK_TTL_MS: Final = 3000
_TERM_TTL_MS: Final = 86_400_000

_ACQUIRE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = redis.call('TIME')
local term = now[1] * 1000 + math.floor(now[2] / 1000)
local last = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[2]))
if term <= last then term = last + 1 end
local text = string.format('%.0f', term)
redis.call('SET', KEYS[1], text .. '@' .. ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[2], text, 'PX', ARGV[4])
return term
"""

_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

_WRITE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[2]) end
return 1
"""


class Leadership:
    """The lock that one replica at a time holds, and what only its holder may write.

    The lock's value is the fencing token: ``term@holder``. A write carries it, and Redis refuses the write once the
    lock has run out or is somebody else's, however late it arrives.

    Source: M. Kleppmann, How to do distributed locking (2016).
    """

    def __init__(self, connection: Connection, *, holder: str) -> None:
        self._connection = connection
        self.holder = holder
        self._acquire = connection.script(_ACQUIRE)
        self._renew = connection.script(_RENEW)
        self._release = connection.script(_RELEASE)
        self._write = connection.script(_WRITE)

    async def acquire(self, *, above: int) -> int | None:
        """Try to become leader; return the new term, or ``None`` when there is a leader.

        Terms are times, so that they grow also over a Redis that lost all it knew.

        Args:
            above: highest term that was ever heard of: a Redis that lost all, and whose clock is behind, passes it.
        """
        async with mapped():
            args = [self.holder, above, LOCK_TTL_MS, _TERM_TTL_MS]
            return int(await self._acquire(keys=[self._lock, self._term], args=args)) or None

    async def renew(self, term: int) -> bool:
        """Stay leader; return false when somebody else is, or nobody."""
        async with mapped():
            args = [self._token(term), LOCK_TTL_MS, _TERM_TTL_MS]
            return bool(await self._renew(keys=[self._lock, self._term], args=args))

    async def release(self, term: int) -> None:
        """Stop being leader at once."""
        async with mapped():
            await self._release(keys=[self._lock], args=[self._token(term)])

    async def write(self, term: int, key: str, value: bytes, *, ttl_ms: int, channel: str = "") -> None:
        """Set ``key`` as the leader of ``term``.

        Args:
            term: of the leader.
            key: its full name.
            value: what to set.
            ttl_ms: how long it stays.
            channel: where the value is published too; empty: nowhere.

        Raises:
            TermOverError: the term is over; nothing was written.
            StoreError: Redis does not answer; it may have been written.
        """
        async with mapped():
            args = [self._token(term), value, ttl_ms, channel]
            written = await self._write(keys=[self._lock, key], args=args)
        if not written:
            raise TermOverError(f"term {term} is over: its lock ran out, or a newer leader has taken over")

    async def leader(self) -> str:
        """Return the leader's name, empty when there is none."""
        async with mapped():
            token = cast("bytes | None", await self._connection.redis.get(self._lock))
        return token.decode().partition("@")[2] if token else ""

    @property
    def _lock(self) -> str:
        return self._connection.key("leader")

    @property
    def _term(self) -> str:
        return self._connection.key("term")

    def _token(self, term: int) -> str:
        return f"{term}@{self.holder}"
