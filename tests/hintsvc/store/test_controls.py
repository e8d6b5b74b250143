"""What a leader leaves to the next one, in a real Redis."""

import pytest

from tests.hintsvc.decide.support import KEY
from tokenflow_api.hints import ExplainReply
from tokenflow_hintsvc.decide.memory import Memory, PathMemory
from tokenflow_hintsvc.errors import StoreError, TermOverError
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.controls import Controls
from tokenflow_hintsvc.store.explanations import Explanations
from tokenflow_hintsvc.store.leadership import Leadership

pytestmark = pytest.mark.redis

MEMORY = Memory(paths={KEY: PathMemory(seen_ms=1, rate=12.5)})


async def test_the_next_leader_finds_what_the_last_one_knew(connection: Connection) -> None:
    leadership = Leadership(connection, holder="one")
    term = await leadership.acquire(above=0)
    assert term is not None
    assert await Controls(connection, leadership).load() == Memory()
    await Controls(connection, leadership).store(MEMORY, term=term)
    assert await Controls(connection, Leadership(connection, holder="two")).load() == MEMORY


async def test_an_old_leader_leaves_nothing(connection: Connection) -> None:
    leadership = Leadership(connection, holder="one")
    term = await leadership.acquire(above=0)
    assert term is not None
    await leadership.release(term)
    with pytest.raises(TermOverError):
        await Controls(connection, leadership).store(MEMORY, term=term)
    with pytest.raises(TermOverError):
        await Explanations(connection, leadership).store([], term=term)


async def test_what_another_version_left_is_an_error_of_the_store(connection: Connection) -> None:
    await connection.redis.set(connection.key("controls"), b'{"paths": 7}')
    with pytest.raises(StoreError, match="another version"):
        await Controls(connection, Leadership(connection, holder="one")).load()
    await connection.redis.set(connection.key("explanations"), b'["gold"]')
    with pytest.raises(StoreError, match="another version"):
        await Explanations(connection, Leadership(connection, holder="one")).of("gold")


async def test_each_tenants_explanation_is_cut_out(connection: Connection) -> None:
    leadership = Leadership(connection, holder="one")
    term = await leadership.acquire(above=0)
    assert term is not None
    explanations = Explanations(connection, leadership)
    assert await explanations.of("gold") is None
    replies = [
        ExplainReply(tenant=tenant, term=term, version=1, generation=1, at_unix_ms=1, explanations=[])
        for tenant in ("gold", "free")
    ]
    await explanations.store(replies, term=term)
    found = await explanations.of("free")
    assert found is not None
    assert ExplainReply.model_validate_json(found) == replies[1]
    assert await explanations.of("silver") is None
    assert 0 < await connection.redis.pttl(connection.key("explanations")) <= 60_000
