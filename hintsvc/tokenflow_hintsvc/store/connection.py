"""The one way to Redis: connections, key names, scripts, and what errors become of."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, cast

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tokenflow_hintsvc.errors import StoreError

TIMEOUT_S: Final = 1.0
MAX_CONNECTIONS: Final = 256
"""Beyond it a call fails at once: a burst of telemetry must not make the leader wait."""


class Script(Protocol):
    """A Lua script that runs whole or not at all."""

    def __call__(self, *, keys: list[str], args: list[Any]) -> Awaitable[Any]:
        """Run it."""


class Connection:
    """Redis, as one policy's replicas see it.

    What is done within ``mapped`` raises ``StoreError`` when Redis does not answer within ``TIMEOUT_S``.
    """

    def __init__(self, url: str, *, policy_uid: str) -> None:
        self.redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=5,
            max_connections=MAX_CONNECTIONS,
        )
        self._prefix = f"tf:{{{policy_uid}}}"

    async def close(self) -> None:
        """Close all connections."""
        await self.redis.aclose()

    def key(self, *parts: str) -> str:
        """Return the name of one of the policy's keys."""
        return ":".join((self._prefix, *parts))

    def script(self, lua: str) -> Script:
        """Return a script that is ready to run."""
        return cast("Script", self.redis.register_script(lua))

    async def values(self, *parts: str) -> list[bytes]:
        """Return the values of all keys whose names begin with ``parts``.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            keys = [key async for key in self.redis.scan_iter(match=self.key(*parts, "*"), count=1000)]
            values = await self.redis.mget(sorted(keys)) if keys else []
        return [value for value in cast("list[bytes | None]", values) if value is not None]


@asynccontextmanager
async def mapped() -> AsyncIterator[None]:
    """Turn what the Redis client raises into our own.

    Raises:
        StoreError: Redis is out of reach or refused, or holds what this version cannot read.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreError(f"Redis: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise StoreError(f"Redis holds a document of another version: {error.error_count()} fields differ") from error
