"""What a command line names: telemetry in a file or in Redis, and the policy whose Redis it is."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tokenflow_hintsvc.errors import UsageError
from tokenflow_hintsvc.learn import history, sources
from tokenflow_hintsvc.learn.series import Series
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.history import History
from tokenflow_hintsvc.store.url_file import UrlFile

REDIS: Final = "redis"


def series_of(arguments: argparse.Namespace) -> list[Series]:
    """Return the series of ``--data``.

    Raises:
        DataError: there is no such telemetry.
        StoreError: Redis does not answer.
    """
    if arguments.data == REDIS:
        return asyncio.run(_kept(arguments))
    return sources.read(Path(arguments.data))


@asynccontextmanager
async def policy(arguments: argparse.Namespace) -> AsyncIterator[Connection]:
    """Be connected to the Redis of ``--policy-uid`` within the block.

    Raises:
        UsageError: no policy is named.
        RedisUrlError: ``--redis-url`` is none, or ``--redis-url-file`` holds none.
    """
    if not arguments.policy_uid:
        raise UsageError("which policy? write --policy-uid $(kubectl get pp NAME -o jsonpath={.metadata.uid})")
    url = UrlFile(arguments.redis_url_file).read() if arguments.redis_url_file else arguments.redis_url
    connection = Connection(url, policy_uid=arguments.policy_uid)
    try:
        yield connection
    finally:
        await connection.close()


async def _kept(arguments: argparse.Namespace) -> list[Series]:
    async with policy(arguments) as connection:
        return await history.read(History(connection))
