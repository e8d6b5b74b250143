"""How the leader's last rates came about, for whoever asks."""

import asyncio
import json
from collections.abc import Sequence
from typing import Final, cast

from tokenflow_api.hints import ExplainReply
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.leadership import Leadership

_TTL_MS: Final = 60_000


class Explanations:
    """The explanations of all tenants: a line with their names, and one line for each."""

    def __init__(self, connection: Connection, leadership: Leadership) -> None:
        self._connection = connection
        self._leadership = leadership

    async def store(self, replies: Sequence[ExplainReply], *, term: int) -> None:
        """Replace the explanations.

        Raises:
            StoreError: Redis does not answer.
            TermOverError: the term is over.
        """
        value = await asyncio.to_thread(_written, replies)
        await self._leadership.write(term, self._key, value, ttl_ms=_TTL_MS)

    async def of(self, tenant: str) -> bytes | None:
        """Return an ``ExplainReply`` as JSON; ``None`` where no leader has explained that tenant of late.

        Raises:
            StoreError: Redis does not answer, or a leader of another version wrote it.
        """
        async with mapped():
            stored = cast("bytes | None", await self._connection.redis.get(self._key))
        if not stored:
            return None
        names, *lines = stored.split(b"\n")
        try:
            return dict(zip(json.loads(names), lines, strict=True)).get(tenant)
        except ValueError as error:
            raise StoreError(f"Redis holds explanations of another version: {error}") from error

    @property
    def _key(self) -> str:
        return self._connection.key("explanations")


def _written(replies: Sequence[ExplainReply]) -> bytes:
    names = json.dumps([reply.tenant for reply in replies])
    return "\n".join([names, *(reply.model_dump_json() for reply in replies)]).encode()
