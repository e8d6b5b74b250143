"""Connections to the Redis that takes writes, wherever it has moved."""

from typing import Any, Final

from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import AskError, ClusterDownError, MasterDownError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from tokenflow_hintsvc.store.address import Form, RedisAddress, parse
from tokenflow_hintsvc.store.location import Fixed, Guarded, Inquiry, Location, Sharded

TIMEOUT_S: Final = 1.0
MAX_CONNECTIONS: Final = 64
"""Beyond it a call fails at once: whoever waits for a slow Redis must not make the leader wait."""
_ELSEWHERE: Final = (AskError, ClusterDownError, MasterDownError, ReadOnlyError)
"""What a server answers that is not the master, or no longer; ``MovedError`` is an ``AskError``."""


class _Connection(Connection):
    """Looks for its server anew each time it is made."""

    def __init__(self, *, location: Location, **options: Any) -> None:
        super().__init__(**options)
        self._location = location

    async def connect(self) -> None:
        """Connect to where the Redis is now."""
        if not self.is_connected:
            node = await self._location.find()
            self.host, self.port = node.host, node.port
        await super().connect()  # type: ignore[no-untyped-call]  # redis-py tells no types here

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Send; where the other side has just hung up, uvloop raises what redis-py takes for no lost connection."""
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            raise RedisConnectionError(f"{self.host}:{self.port} hung up: {error}") from error

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer; one that says that this is not the master any more ends the connection."""
        try:
            return await super().read_response(*args, **options)
        except _ELSEWHERE as error:
            await self.disconnect()
            raise RedisConnectionError(f"{self.host}:{self.port} is not the master: {error}") from error


class _EncryptedConnection(_Connection, SSLConnection):
    """By TLS."""


def pool(url: str, *, slot_key: str) -> ConnectionPool:
    """Return a pool of connections.

    Args:
        url: of a Redis, of Sentinels or of a Cluster.
        slot_key: in a Cluster, the master of this key's slot is meant.

    Raises:
        RedisUrlError: ``url`` is not such a URL.
    """
    address = parse(url)
    encryption: dict[str, Any] = {"ssl_ca_certs": address.authorities or None} if address.tls else {}
    return ConnectionPool(
        connection_class=_EncryptedConnection if address.tls else _Connection,
        max_connections=MAX_CONNECTIONS,
        location=_location(address, slot_key=slot_key, encryption=encryption),
        db=address.database,
        username=address.login.username or None,
        password=address.login.password or None,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        health_check_interval=5,
        **encryption,
    )


def _location(address: RedisAddress, *, slot_key: str, encryption: dict[str, Any]) -> Location:
    options = encryption | {"ssl": address.tls}
    match address.form:
        case Form.SINGLE:
            return Fixed(address.nodes[0])
        case Form.SENTINEL:
            inquiry = Inquiry(address.nodes, login=address.sentinel_login, options=options)
            return Guarded(inquiry, master=address.master)
        case Form.CLUSTER:
            return Sharded(Inquiry(address.nodes, login=address.login, options=options), key=slot_key)
