"""The leader's lock: one holder, rising terms, and no write of an old one."""

import pytest

from tokenflow_hintsvc.errors import TermOverError
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.leadership import Leadership

pytestmark = pytest.mark.redis


@pytest.fixture
def one(connection: Connection) -> Leadership:
    return Leadership(connection, holder="one")


@pytest.fixture
def other(connection: Connection) -> Leadership:
    return Leadership(connection, holder="other")


async def acquired(leadership: Leadership, *, above: int = 0) -> int:
    term = await leadership.acquire(above=above)
    assert term is not None
    return term


async def lock_runs_out(connection: Connection) -> None:
    await connection.redis.delete(connection.key("leader"))


async def test_one_at_a_time_leads(one: Leadership, other: Leadership) -> None:
    term = await acquired(one)
    assert await other.acquire(above=0) is None
    assert await one.leader() == "one"
    assert await one.renew(term)
    assert not await other.renew(term)
    await other.release(term)
    assert await one.leader() == "one"
    await one.release(term)
    assert await one.leader() == ""
    assert await acquired(other) > term


async def test_an_old_leader_cannot_write_once_another_leads(
    connection: Connection, one: Leadership, other: Leadership
) -> None:
    old = await acquired(one)
    await one.write(old, connection.key("k"), b"old", ttl_ms=1000)
    await lock_runs_out(connection)
    new = await acquired(other)
    await other.write(new, connection.key("k"), b"new", ttl_ms=1000)
    with pytest.raises(TermOverError):
        await one.write(old, connection.key("k"), b"stale", ttl_ms=1000)
    assert not await one.renew(old)
    assert await connection.redis.get(connection.key("k")) == b"new"


async def test_a_leader_whose_lock_ran_out_cannot_write_though_nobody_else_leads(
    connection: Connection, one: Leadership
) -> None:
    old = await acquired(one)
    await lock_runs_out(connection)
    with pytest.raises(TermOverError):
        await one.write(old, connection.key("k"), b"stale", ttl_ms=1000)
    new = await acquired(one)
    with pytest.raises(TermOverError):
        await one.write(old, connection.key("k"), b"stale", ttl_ms=1000)
    await one.write(new, connection.key("k"), b"new", ttl_ms=1000)


async def test_terms_grow_over_a_redis_that_lost_all(connection: Connection, one: Leadership) -> None:
    before = await acquired(one)
    await connection.redis.flushall()
    after = await acquired(one, above=before)
    assert after > before
    await connection.redis.flushall()
    # Its clock is behind, and it knows of no term: those who heard of one do.
    assert await acquired(one, above=after + 10**9) == after + 10**9 + 1


async def test_what_is_written_is_published_and_runs_out(connection: Connection, one: Leadership) -> None:
    term = await acquired(one)
    async with connection.redis.pubsub() as subscription:
        await subscription.subscribe("c")
        await subscription.get_message(timeout=1.0)
        await one.write(term, connection.key("k"), b"v", ttl_ms=60_000, channel="c")
        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
    assert message is not None
    assert message["data"] == b"v"
    keys = [key async for key in connection.redis.scan_iter()]
    assert sorted(keys) == [b"tf:{p}:k", b"tf:{p}:leader", b"tf:{p}:term"]
    assert all([await connection.redis.pttl(key) > 0 for key in keys])
