"""Fixtures of this folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hintsvc.support import RedisServer, free_port


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed: run 'apt-get install redis-server'")
    server = RedisServer(free_port(), tmp_path)
    server.start()
    yield server
    server.stop()
