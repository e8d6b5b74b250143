"""Who is sent what, and when nothing is."""

import asyncio
import json

import pytest

from tests.hintsvc.serving import config, snapshot
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.view import feed as module
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.feed import Audience, Feed, Subscription
from tokenflow_hintsvc.view.packed import pack, unpack

GOLD = Audience(frozenset({"gold"}), gateway=False)
GATEWAY = Audience(frozenset({"gold", "open"}), gateway=True)


class Followed:
    """A feed, and what its subscribers were woken for."""

    def __init__(self) -> None:
        self.view = View()
        self.feed = Feed(self.view)
        self.feed.announce(config())
        self.woken: list[Subscription] = []

    def publish(self, version: int, *, term: int = 1) -> None:
        self.view.accept(unpack(pack(snapshot(version, term=term))))

    def follow(self, audience: Audience = GOLD, *, last_event_id: str = "") -> Subscription:
        subscription = self.feed.subscribe(
            audience, lambda: self.woken.append(subscription), last_event_id=last_event_id
        )
        return subscription


@pytest.fixture
async def followed() -> Followed:
    return Followed()


def identifiers(events: bytes) -> list[str]:
    return [line.removeprefix("id: ") for line in events.decode().splitlines() if line.startswith("id: ")]


async def test_a_subscriber_is_given_the_present_snapshot_and_then_each(followed: Followed) -> None:
    followed.publish(4)
    subscription = followed.follow()
    assert identifiers(subscription.take()) == ["1-4"]
    assert subscription.take() == b""
    followed.publish(5)
    assert identifiers(subscription.take()) == ["1-5"]


async def test_a_slow_subscriber_misses_snapshots_and_that_is_counted(followed: Followed) -> None:
    subscription = followed.follow()
    before = metrics.OVERWRITTEN._value.get()
    for version in range(1, 6):
        followed.publish(version)
    assert identifiers(subscription.take()) == ["1-5"]
    assert metrics.OVERWRITTEN._value.get() - before == 4


@pytest.mark.parametrize(
    ("last_event_id", "given"),
    [
        ("2-7", []),
        ("2-6", ["2-7"]),
        ("1-900", ["2-7"]),
        ("2-9", []),
        ("2-900", ["2-7"]),
        ("3-1", ["2-7"]),
        ("", ["2-7"]),
        ("nonsense", ["2-7"]),
        ("2-7-1", ["2-7"]),
        ("9" * 400 + "-1", ["2-7"]),
    ],
)
async def test_a_subscriber_resumes_behind_what_they_have(
    followed: Followed, last_event_id: str, given: list[str]
) -> None:
    followed.publish(7, term=2)
    subscription = followed.follow(last_event_id=last_event_id)
    assert identifiers(subscription.take()) == given
    followed.publish(10, term=2)
    assert identifiers(subscription.take()) == ["2-10"]


async def test_gateways_alone_are_sent_configs_and_nodes(followed: Followed) -> None:
    followed.publish(1)
    tenant, gateway = followed.follow(GOLD), followed.follow(GATEWAY)
    assert b"event: config" not in tenant.take()
    first = gateway.take()
    assert first.startswith(b'event: config\ndata: {"schema":1')
    assert b'"nodes":[{' in first
    followed.feed.announce(config(generation=2))
    assert tenant.take() == b""
    changed = gateway.take().decode()
    assert json.loads(changed.partition("data: ")[2])["generation"] == 2


async def test_bytes_are_made_once_for_all_who_may_read_the_same(followed: Followed) -> None:
    followed.publish(1)
    one, other = followed.follow(), followed.follow(Audience(frozenset({"gold"}), gateway=False))
    assert one.take() is other.take()


async def test_all_are_woken_in_slices(followed: Followed) -> None:
    many = [followed.follow() for _ in range(module.SLICE * 2 + 1)]
    followed.publish(1)
    assert followed.woken == []
    turns = []
    while len(followed.woken) < len(many):
        await asyncio.sleep(0)
        turns.append(len(followed.woken))
    assert turns[-3:] == [module.SLICE, module.SLICE * 2, module.SLICE * 2 + 1]
    assert followed.woken == many


async def test_who_comes_while_others_are_woken_is_woken_too(followed: Followed) -> None:
    first = followed.follow()
    followed.publish(1)
    later = followed.follow()
    followed.publish(2)
    for _ in range(5):
        await asyncio.sleep(0)
    assert {first, later} <= set(followed.woken)


async def test_who_has_left_is_not_woken(followed: Followed) -> None:
    subscription = followed.follow()
    followed.publish(1)
    subscription.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert followed.woken == []


async def test_there_are_bounds(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SUBSCRIPTIONS", 2)
    followed.follow()
    leaving = followed.follow()
    with pytest.raises(ProblemError) as refused:
        followed.follow()
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (503, "TooManyStreams", 5)
    leaving.close()
    followed.follow()
