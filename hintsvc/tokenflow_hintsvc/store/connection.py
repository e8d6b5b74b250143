"""The one way to Redis: connections, key names, scripts, and what errors become of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.pool import TIMEOUT_S, pool

__all__ = ["DEADLINE_S", "TIMEOUT_S", "Connection", "Script", "mapped"]

DEADLINE_S: Final = 2 * TIMEOUT_S
"""For whatever is asked of Redis: a frozen one holds up nobody for longer."""


class Connection:
    """Redis, as one policy's replicas see it.

    What is done within ``mapped`` raises ``StoreError`` when Redis does not answer within ``DEADLINE_S``.

    Args:
        url: of a Redis, of Sentinels or of a Cluster.
        policy_uid: whose keys.

    Raises:
        RedisUrlError: ``url`` is not such a URL.
    """

    def __init__(self, url: str, *, policy_uid: str) -> None:
        self._prefix = f"tf:{{{policy_uid}}}"
        self.url = url
        self.redis = Redis(connection_pool=pool(url, slot_key=self._prefix))

    async def redirect(self, url: str) -> None:
        """Go by another URL from the next call on; what is under way ends where it is.

        Raises:
            RedisUrlError: ``url`` is not such a URL; the one before stays.
        """
        left, self.redis.connection_pool = self.redis.connection_pool, pool(url, slot_key=self._prefix)
        self.url = url
        await left.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.redis.aclose()
        await self.redis.connection_pool.aclose()

    def key(self, *parts: str) -> str:
        """Return the name of one of the policy's keys."""
        return ":".join((self._prefix, *parts))

    def script(self, lua: str) -> "Script":
        """Return a script that is ready to run."""
        return Script(self.redis, lua)


class Script:
    """A Lua script that runs whole or not at all."""

    def __init__(self, redis: Redis, lua: str) -> None:
        self._redis = redis
        self._lua = lua
        self._script = redis.register_script(lua)

    async def __call__(self, *, keys: list[str], args: list[Any]) -> Any:
        """Run it."""
        return await self._script(keys=keys, args=args)

    async def run_all(self, calls: list[tuple[list[str], list[Any]]]) -> list[Any]:
        """Run it once for each pair of keys and arguments, in one exchange.

        Returns:
            The answers in order; an error of Redis stands in its place.
        """
        answers = await self._exchange(calls)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # Redis was restarted, or another one leads: it knows none of our scripts.
            await self._redis.script_load(self._lua)
            again = await self._exchange([calls[at] for at in unknown])
            for at, answer in zip(unknown, again, strict=True):
                answers[at] = answer
        return answers

    async def _exchange(self, calls: list[tuple[list[str], list[Any]]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.evalsha(self._script.sha, len(keys), *keys, *args)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers


@asynccontextmanager
async def mapped(*, deadline_s: float | None = DEADLINE_S) -> AsyncIterator[None]:
    """Turn what the Redis client raises into our own.

    Args:
        deadline_s: most seconds that all of it may take; ``None`` is for what lasts.

    Raises:
        StoreError: Redis is out of reach or refused, or holds what this version cannot read.
    """
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreError(f"Redis: {type(error).__name__}: {error}") from error
    except ValidationError as error:
        raise StoreError(f"Redis holds a document of another version: {error.error_count()} fields differ") from error
