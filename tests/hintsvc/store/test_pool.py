"""Connections that end at the wrong moment."""

import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.hintsvc.support import RedisServer
from tokenflow_hintsvc.store.pool import pool

pytestmark = pytest.mark.redis


def test_a_redis_that_hangs_up_just_before_it_is_asked_is_a_lost_connection(redis_server: RedisServer) -> None:
    async def ask() -> None:
        connection = pool(redis_server.url, slot_key="any").make_connection()  # type: ignore[no-untyped-call]  # redis-py tells no types here
        await connection.connect()
        connection._writer.transport.abort()
        # The loop's transport is gone a turn later, and redis-py hears of it when it next reads.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await connection.send_command("PING")

    with pytest.raises(RedisConnectionError, match="hung up"):
        uvloop.run(ask())
