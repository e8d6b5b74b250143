"""Who leads, and that it is never two, whatever happens to processes, clocks and requests."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.election.simulation import Replica, Store, VirtualLoop, simulate

CALM_S = 60
FATES = ["kill", "end", "cut", "heal", "delete the lease", "nothing"]
HAND_OVER_S = 15.0


def replicas_of(store: Store, count: int = 2) -> list[Replica]:
    return [Replica(number, store, draw=random.Random(number), faults=False) for number in range(count)]  # noqa: S311 - a simulation


async def led(replicas: list[Replica], *, within_s: float) -> Replica:
    waiting = [asyncio.ensure_future(replica.election.leading.wait()) for replica in replicas]
    done, left = await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    assert done, f"nobody leads within {within_s} s"
    return next(replica for replica in replicas if replica.may_write)


@given(seed=st.integers(0, 2**32), count=st.integers(2, 3))
@settings(max_examples=100, deadline=None)
def test_two_never_write_at_once(seed: int, count: int) -> None:
    random.seed(seed)
    draw = random.Random(seed)  # noqa: S311 - a simulation

    async def scenario(loop: VirtualLoop) -> None:
        store = Store()
        replicas = [Replica(number, store, draw=draw, faults=True) for number in range(count)]

        def never_two() -> None:
            writing = [replica.identity for replica in replicas if replica.writes_may_be_under_way]
            assert len(writing) < 2, (loop.now, writing)

        loop.on_step = never_two
        for _ in range(20):
            await asyncio.sleep(draw.uniform(0.5, 8))
            fate = draw.choice(FATES)
            if fate == "delete the lease":
                store.lease = None
            await draw.choice(replicas).suffer(fate)
            for replica in replicas:
                await replica.revive()
        for _ in range(CALM_S):
            await asyncio.sleep(1)
            for replica in replicas:
                await replica.recover()
        assert sum(replica.may_write for replica in replicas) == 1

    simulate(scenario)


def test_a_free_lease_is_taken_at_once() -> None:
    async def scenario(_: VirtualLoop) -> None:
        store = Store()
        store.create({"metadata": {"name": "lease", "namespace": "system"}})
        first, second = replicas_of(store)
        leader = await led([first, second], within_s=1)
        assert store.lease is not None
        assert store.lease["spec"]["holderIdentity"] == leader.identity
        assert store.lease["spec"]["leaseDurationSeconds"] == 10
        assert store.lease["spec"]["leaseTransitions"] == 1
        await asyncio.sleep(5)
        assert {first.election.leader, second.election.leader} == {leader.identity}

    simulate(scenario)


def test_who_creates_the_lease_waits_since_it_may_have_been_deleted_under_its_holder() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        store = Store()
        await led(replicas_of(store), within_s=13)
        assert loop.now > 10

    simulate(scenario)


def test_a_killed_leader_is_followed_within_fifteen_seconds() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        store = Store()
        replicas = replicas_of(store)
        leader = await led(replicas, within_s=13)
        await asyncio.sleep(30.7)
        await leader.kill()
        killed_at = loop.now
        await led([one for one in replicas if one is not leader], within_s=HAND_OVER_S)
        assert loop.now - killed_at > 7

    simulate(scenario)


def test_a_leader_that_ends_in_order_is_followed_within_two_seconds() -> None:
    async def scenario(_: VirtualLoop) -> None:
        store = Store()
        replicas = replicas_of(store)
        leader = await led(replicas, within_s=13)
        await asyncio.sleep(30.2)
        await leader.end_in_order()
        assert not leader.may_write
        await led([one for one in replicas if one is not leader], within_s=1)

    simulate(scenario)


def test_a_leader_that_is_cut_off_ends_before_another_begins() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        store = Store()
        replicas = replicas_of(store)
        leader = await led(replicas, within_s=13)
        leader.network.cut = True
        await asyncio.wait([leader.running], timeout=9)
        assert leader.ended == 1
        ended_at = loop.now
        await led([one for one in replicas if one is not leader], within_s=HAND_OVER_S)
        assert loop.now - ended_at > 1

    simulate(scenario)


def test_a_leader_whose_machine_was_suspended_writes_nothing_more() -> None:
    async def scenario(_: VirtualLoop) -> None:
        leader = await led(replicas := replicas_of(Store()), within_s=13)
        leader.jump(7)
        assert not leader.may_write
        await asyncio.wait([leader.running], timeout=3)
        assert leader.ended == 1
        assert [replica.ended for replica in replicas if replica is not leader] == [0]

    simulate(scenario)


def test_a_deleted_lease_is_made_anew_and_soon_somebody_leads() -> None:
    async def scenario(_: VirtualLoop) -> None:
        store = Store()
        replicas = replicas_of(store)
        await led(replicas, within_s=13)
        store.lease = None
        await asyncio.sleep(HAND_OVER_S)
        assert [replica.may_write for replica in replicas].count(True) == 1

    simulate(scenario)


def test_at_rest_the_lease_is_renewed_every_other_second_and_by_nobody_else() -> None:
    async def scenario(_: VirtualLoop) -> None:
        store = Store()
        leader = await led(replicas_of(store), within_s=13)
        store.writes.clear()
        await asyncio.sleep(60)
        assert {holder for _, holder in store.writes} == {leader.identity}
        assert 24 <= len(store.writes) <= 38

    simulate(scenario)
