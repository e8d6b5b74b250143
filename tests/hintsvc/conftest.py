"""Fixtures of this folder."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from e2e.bench.proc import free_port
from tests.hintsvc.support import RedisServer
from tokenflow_hintsvc.store.connection import Connection


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed: run 'apt-get install redis-server'")
    server = RedisServer(free_port(), tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def connection(redis_server: RedisServer) -> AsyncIterator[Connection]:
    connection = Connection(redis_server.url, policy_uid="p")
    yield connection
    await connection.close()
