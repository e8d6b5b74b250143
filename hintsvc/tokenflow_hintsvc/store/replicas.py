"""Which replicas live, and the generation that each serves."""

from typing import Final

from tokenflow_api.hints import Replica
from tokenflow_hintsvc.store.connection import Connection, mapped

_TTL_MS: Final = 10_000
_KIND: Final = "replica"


class Replicas:
    """The register of the replicas; an entry runs out unless it is renewed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def acknowledge(self, replica: Replica) -> None:
        """Say which generation a replica serves."""
        async with mapped():
            key = self._connection.key(_KIND, replica.name)
            await self._connection.redis.set(key, replica.model_dump_json(), px=_TTL_MS)

    async def withdraw(self, name: str) -> None:
        """Forget a replica that goes."""
        async with mapped():
            await self._connection.redis.delete(self._connection.key(_KIND, name))

    async def all(self) -> list[Replica]:
        """Return the replicas that live, with the generation that each serves."""
        values = await self._connection.values(_KIND)
        async with mapped():
            return [Replica.model_validate_json(value) for value in values]
