"""What a leader remembers, for the one that comes after it: a congested path must not start as a clear one."""

import asyncio
from typing import Final, cast

from tokenflow_hintsvc.decide.memory import Memory, read, written
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.leadership import Leadership

_TTL_MS: Final = 60_000


class Controls:
    """The memory of the last leader."""

    def __init__(self, connection: Connection, leadership: Leadership) -> None:
        self._connection = connection
        self._leadership = leadership

    async def store(self, memory: Memory, *, term: int) -> None:
        """Leave a memory to whoever leads next.

        Raises:
            StoreError: Redis does not answer.
            TermOverError: the term is over.
        """
        value = await asyncio.to_thread(written, memory)
        await self._leadership.write(term, self._key, value, ttl_ms=_TTL_MS)

    async def load(self) -> Memory:
        """Return what the last leader left; an empty memory where it left none, or long ago.

        Raises:
            StoreError: Redis does not answer, or a leader of another version wrote it.
        """
        async with mapped():
            stored = cast("bytes | None", await self._connection.redis.get(self._key))
            return read(stored) if stored else Memory()

    @property
    def _key(self) -> str:
        return self._connection.key("controls")
