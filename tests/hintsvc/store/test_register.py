"""Registers, in a real Redis."""

import asyncio

import pytest

from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.register import Register

pytestmark = pytest.mark.redis


async def test_what_is_entered_is_there_until_it_is_removed(connection: Connection) -> None:
    register = Register(connection, "things", ttl_ms=60_000)
    await register.enter("a", "1")
    await register.enter("b", "2")
    await register.enter("a", "3")
    assert sorted(await register.all()) == [b"2", b"3"]
    await register.remove("b")
    assert await register.all() == [b"3"]


async def test_what_is_not_renewed_runs_out_and_leaves_nothing(connection: Connection) -> None:
    brief, lasting = (Register(connection, "things", ttl_ms=ttl_ms) for ttl_ms in (50, 60_000))
    await brief.enter("a", "1")
    await lasting.enter("b", "2")
    async with asyncio.timeout(30):
        while await lasting.all() != [b"2"]:  # noqa: ASYNC110 - Redis' own clock
            await asyncio.sleep(0.01)
    assert await connection.redis.hkeys(lasting.keys[0]) == [b"b"]


async def test_registers_are_apart(connection: Connection) -> None:
    await Register(connection, "things", ttl_ms=60_000).enter("a", "1")
    assert await Register(connection, "others", ttl_ms=60_000).all() == []
