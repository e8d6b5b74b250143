"""The service's clock, in a real Redis."""

import pytest

from tests.hintsvc.serving import Clock
from tests.hintsvc.support import RedisServer
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.clock import ServiceClock
from tokenflow_hintsvc.store.connection import Connection

pytestmark = pytest.mark.redis


async def test_the_time_is_that_of_redis_and_runs_on_without_it(
    connection: Connection, redis_server: RedisServer
) -> None:
    steady = Clock()
    clock = ServiceClock(connection, steady=steady, wall=lambda: 5000.0)
    assert clock.now_unix_ms() == 5_000_000
    await clock.set()
    seconds, _ = await connection.redis.time()
    assert abs(clock.now_unix_ms() - seconds * 1000) <= 2000
    before = clock.now_unix_ms()
    redis_server.stop()
    steady.now += 60.0
    with pytest.raises(StoreError):
        await clock.set()
    assert abs(clock.now_unix_ms() - before - 60_000) <= 1
