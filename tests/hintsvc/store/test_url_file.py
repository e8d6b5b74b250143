"""A URL that is changed while a replica runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.bench.hintsvc.redis import RedisServer
from tokenflow_hintsvc.errors import RedisUrlError
from tokenflow_hintsvc.store import url_file
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.url_file import UrlFile

pytestmark = pytest.mark.redis


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "url"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def put(file: Path, url: str) -> None:
    file.write_text(f"{url}\n")


async def following(file: Path, connection: Connection) -> asyncio.Task[None]:
    return asyncio.create_task(UrlFile(file).follow(connection))


async def test_another_password_is_taken_up(
    redis_server: RedisServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url_file, "LOOK_S", 0.01)
    place = redis_server.url.removeprefix("redis://")
    admin = Connection(redis_server.url, policy_uid="admin")
    await admin.redis.execute_command("ACL", "SETUSER", "rotated", "on", ">first", "~*", "+@all")
    put(file, f"redis://rotated:first@{place}")
    connection = Connection(UrlFile(file).read(), policy_uid="policy-1")
    task = await following(file, connection)
    try:
        async with mapped():
            assert await connection.redis.ping()
        await admin.redis.execute_command("ACL", "SETUSER", "rotated", ">second", "<first")
        second = f"redis://rotated:second@{place}"
        put(file, second)
        await until(lambda: connection.url == second)
        await admin.redis.execute_command("CLIENT", "KILL", "USER", "rotated")
        async with mapped():
            assert await connection.redis.ping()
    finally:
        task.cancel()
        await admin.redis.execute_command("ACL", "DELUSER", "rotated")
        await admin.close()
        await connection.close()


async def test_what_is_no_url_is_refused_once_and_changes_nothing(
    redis_server: RedisServer, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(url_file, "LOOK_S", 0.001)
    connection = Connection(redis_server.url, policy_uid="policy-1")
    put(file, "http://word:secret@nowhere")
    task = await following(file, connection)
    try:
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.05)
        async with mapped():
            assert await connection.redis.ping()
    finally:
        task.cancel()
        await connection.close()
    assert connection.url == redis_server.url
    assert len(caplog.records) == 1
    assert "secret" not in str(vars(caplog.records[0]))


def test_a_missing_file_says_what_to_do(file: Path) -> None:
    with pytest.raises(RedisUrlError, match="put it into the Secret under the key url"):
        UrlFile(file).read()
