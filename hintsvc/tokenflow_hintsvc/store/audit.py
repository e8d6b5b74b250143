"""The replicas' common audit log: two capped streams, so that a flood of denials cannot push out what was done."""

from collections.abc import Sequence
from typing import Final, cast

from tokenflow_api.audit import AuditEntry, Outcome
from tokenflow_hintsvc.store.connection import Connection, mapped

MAX_ENTRIES: Final = 10_000
"""Of each outcome."""
_TTL_S: Final = 30 * 86_400
_FIELD: Final = b"entry"


class AuditLog:
    """Entries are only ever appended; Redis drops the oldest beyond the cap."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            pipeline = self._connection.redis.pipeline(transaction=False)
            for entry in entries:
                document = entry.model_dump_json()
                pipeline.xadd(self._key(entry.outcome), {_FIELD: document}, maxlen=MAX_ENTRIES, approximate=True)
            for outcome in {entry.outcome for entry in entries}:
                pipeline.expire(self._key(outcome), _TTL_S)
            await pipeline.execute()

    async def newest(self, limit: int) -> list[AuditEntry]:
        """Return the newest entries, the newest first.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            streams = [
                cast("list[tuple[bytes, dict[bytes, bytes]]]", await self._connection.redis.xrevrange(key, count=limit))
                for key in map(self._key, Outcome)
            ]
            found = [AuditEntry.model_validate_json(fields[_FIELD]) for stream in streams for _, fields in stream]
        found.sort(key=lambda entry: entry.at_unix_ms, reverse=True)
        return found[:limit]

    def _key(self, outcome: Outcome) -> str:
        return self._connection.key("audit", outcome.lower())
