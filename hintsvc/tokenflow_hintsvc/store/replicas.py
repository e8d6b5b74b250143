"""Which replicas live, and the generation that each serves."""

from typing import Final

from tokenflow_api.cluster import Replica
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.register import Register

_TTL_MS: Final = 10_000


class Replicas:
    """The register of the replicas; an entry runs out unless it is renewed."""

    def __init__(self, connection: Connection) -> None:
        self._register = Register(connection, "replicas", ttl_ms=_TTL_MS)

    async def acknowledge(self, replica: Replica) -> None:
        """Say which generation a replica serves."""
        await self._register.enter(replica.name, replica.model_dump_json())

    async def withdraw(self, name: str) -> None:
        """Forget a replica that goes."""
        await self._register.remove(name)

    async def all(self) -> list[Replica]:
        """Return the replicas that live, with the generation that each serves."""
        documents = await self._register.all()
        async with mapped():
            return [Replica.model_validate_json(document) for document in documents]
