"""Snapshots on their way to the replicas, in a real Redis."""

import pytest

from tests.hintsvc.serving import snapshot
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store import snapshots
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.store.snapshots import Snapshots

pytestmark = pytest.mark.redis


async def test_who_follows_gets_the_present_snapshot_and_each_next_one_until_nobody_publishes(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "TIMEOUT_S", 0.05)
    leadership = Leadership(connection, holder="one")
    term = await leadership.acquire(above=0)
    assert term is not None
    published = Snapshots(connection, leadership)
    await published.publish(snapshot(1, term=term))
    following = published.follow()
    assert (await anext(following)).identity == (term, 1)
    await published.publish(snapshot(2, term=term))
    assert (await anext(following)).identity == (term, 2)
    with pytest.raises(StoreError, match="no leader has published"):
        await anext(following)
