"""How requests are admitted and committed by replicas that share one Redis."""

import pytest

from tests.hintsvc.quota.support import Clock, Replica, greeted, policy, replica, replicas
from tests.hintsvc.support import RedisServer
from tokenflow_api.quota import Refusal
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.store.usage import Field

pytestmark = pytest.mark.redis

TEN = policy(requestsPerMinute=10)


async def admitted(running: list[Replica], times: int, **asked: object) -> int:
    """Ask the replicas in turn; return how many times they admitted."""
    replies = [await running[index % len(running)].admit(**asked) for index in range(times)]  # type: ignore[arg-type]
    return sum(reply.admitted for reply in replies)


def asked_redis() -> float:
    return metrics.QUOTA_ASKED._value.get()


async def test_a_small_limit_is_exact_over_all_replicas(redis_server: RedisServer) -> None:
    async with replicas(redis_server, TEN, number=3) as (clock, running):
        assert await admitted(running, 30) == 10
        await clock.advance(60.3)
        assert await admitted(running, 30) == 10


async def test_a_refusal_tells_when_to_come_back(redis_server: RedisServer) -> None:
    async with replicas(redis_server, TEN) as (clock, (one,)):
        await admitted([one], 10)
        await clock.advance(20)
        reply = await one.admit()
        assert (reply.admitted, reply.refusal) == (False, Refusal.REQUESTS)
        assert 40_000 <= reply.retry_after_ms <= 40_300
        assert (reply.requests.limit, reply.requests.remaining) == (10, 0)
        await clock.advance(reply.retry_after_ms / 1000)
        assert (await one.admit()).admitted


async def test_what_a_commit_returns_can_be_used_again_at_once(redis_server: RedisServer) -> None:
    config = policy(tokensPerMinute=1000, burstTokens=1000, maxTokensPerRequest=1000)
    async with replicas(redis_server, config, number=2) as (_, (one, two)):
        first = await one.admit(max_tokens=500)
        await one.admit(max_tokens=500)
        assert (await two.admit(max_tokens=400)).refusal is Refusal.TOKENS
        committed = await two.commit(first, output_tokens=90, input_tokens=10)
        assert (committed.committed, committed.returned_tokens, committed.local) == (True, 400, False)
        assert (await two.admit(max_tokens=400)).admitted
        assert (await two.admit(max_tokens=1)).refusal is Refusal.TOKENS


async def test_what_was_used_beyond_the_reservation_is_owed(redis_server: RedisServer) -> None:
    config = policy(tokensPerMinute=1000, burstTokens=1000, maxTokensPerRequest=1000)
    async with replicas(redis_server, config) as (_, (one,)):
        first = await one.admit(max_tokens=100)
        await one.commit(first, output_tokens=700)
        assert (await one.admit(max_tokens=301)).refusal is Refusal.TOKENS
        assert (await one.admit(max_tokens=300)).admitted


async def test_a_reservation_counts_once_wherever_it_is_committed(redis_server: RedisServer) -> None:
    async with replicas(redis_server, policy(), number=2) as (_, (one, two)):
        reply = await one.admit(max_tokens=100)
        assert (await two.commit(reply, output_tokens=40)).committed
        again = await one.commit(reply, output_tokens=40)
        assert (again.committed, again.returned_tokens) == (False, 0)
        used = [hour.amounts for book in (one.usage, two.usage) for hour in book.take()]
        assert used == [{Field("requests"): 1}, {Field("output_tokens"): 40}]


async def test_a_reservation_that_nobody_commits_is_charged_and_runs_out(redis_server: RedisServer) -> None:
    config = policy(tokensPerMinute=1000, burstTokens=1000, maxTokensPerRequest=1000)
    async with replicas(redis_server, config) as (clock, (one,)):
        reply = await one.admit(max_tokens=500)
        assert (await one.admit(max_tokens=600)).reserved_tokens == 500
        assert not (await one.admit(max_tokens=100)).admitted
        # The longest request of the gateway, ten minutes, and another one.
        await clock.advance(661)
        assert not (await one.commit(reply)).committed


async def test_streams_end_with_their_commit_or_by_themselves(redis_server: RedisServer) -> None:
    async with replicas(redis_server, policy(maxConcurrentStreams=2), number=2) as (clock, (one, two)):
        first = await one.admit(stream=True)
        await two.admit(stream=True)
        assert (await two.admit(stream=True)).refusal is Refusal.STREAMS
        assert (await two.admit(stream=False)).admitted
        await two.commit(first)
        assert (await one.admit(stream=True)).admitted
        assert not (await one.admit(stream=True)).admitted
        # Their gateway has died.
        await clock.advance(661)
        await greeted(clock, [one, two])
        assert await admitted([one, two], 3, stream=True) == 2


async def test_streams_are_kept_for_higher_priorities(redis_server: RedisServer) -> None:
    config = policy(
        tenants=[{"name": "gold", "priority": 200}, {"name": "batch", "priority": 100}],
        gateway={"upstreams": [{"name": "a", "url": "http://a", "maxConcurrentRequests": 10}]},
    )
    async with replicas(redis_server, config, number=2) as (_, running):
        assert await admitted(running, 20, tenant="batch", stream=True) == 8
        assert (await running[0].admit(tenant="batch", stream=True)).refusal is Refusal.CAPACITY
        assert await admitted(running, 20, tenant="gold", stream=True) == 2


async def test_most_checks_cost_no_round_trip(redis_server: RedisServer) -> None:
    config = policy(requestsPerMinute=600_000, tokensPerMinute=60_000_000, burstTokens=6_000_000)
    async with replicas(redis_server, config) as (clock, (one,)):
        before = asked_redis()
        for _ in range(200):
            assert await admitted([one], 10, max_tokens=10) == 10
            await clock.advance(0.01)
            await one.keeper.link.round()
        assert asked_redis() - before < 100


async def test_leases_that_are_not_used_are_given_back(redis_server: RedisServer) -> None:
    config = policy(requestsPerMinute=6000, tokensPerMinute=6_000_000, burstTokens=600_000)
    async with replicas(redis_server, config, number=2) as (clock, (one, two)):
        for _ in range(20):
            await admitted([one], 10, max_tokens=10)
            await clock.advance(0.1)
        for _ in range(100):
            await clock.advance(0.5)
            for each in (one, two):
                await each.keeper.link.round()
        await clock.advance(12)
        reply = await two.admit(max_tokens=10)
        assert reply.requests.remaining == 5999
        assert reply.tokens.remaining == 600_000 - 10


async def test_a_replica_that_leaves_gives_back_what_it_holds(redis_server: RedisServer) -> None:
    config = policy(requestsPerMinute=6000, tokensPerMinute=6_000_000, burstTokens=600_000)
    async with replicas(redis_server, config, number=2) as (clock, (one, two)):
        for _ in range(20):
            await admitted([one], 10, max_tokens=10)
            await clock.advance(0.05)
        await one.keeper.link.leave()
        assert (await two.admit(max_tokens=10)).requests.remaining == 6000 - 200 - 1


@pytest.mark.parametrize("name", ["Shadow", "Off"])
async def test_without_enforcement_everything_is_admitted(redis_server: RedisServer, name: str) -> None:
    async with replicas(redis_server, policy(mode=name, requestsPerMinute=2)) as (_, (one,)):
        replies = [await one.admit() for _ in range(3)]
        assert [reply.admitted for reply in replies] == [True, True, True]
        assert replies[2].refusal is (Refusal.REQUESTS if name == "Shadow" else None)
        committed = await one.commit(replies[2], output_tokens=40)
        assert (committed.committed, committed.returned_tokens) == (True, 0)
        assert [hour.amounts for hour in one.usage.take()] == [{Field("requests"): 3, Field("output_tokens"): 40}]


async def test_saturated_gpus_hold_requests_off(redis_server: RedisServer) -> None:
    async with replicas(redis_server, policy()) as (_, (one,)):
        one.held_off["gold"] = 1500
        reply = await one.admit()
        assert (reply.refusal, reply.retry_after_ms) == (Refusal.SHED, 1500)
        del one.held_off["gold"]
        assert (await one.admit()).admitted


async def test_too_large_a_request_is_refused_for_good(redis_server: RedisServer) -> None:
    async with replicas(redis_server, policy(maxTokensPerRequest=4096)) as (_, (one,)):
        reply = await one.admit(max_tokens=4097)
        assert (reply.refusal, reply.retry_after_ms) == (Refusal.TOO_LARGE, 0)


async def test_new_limits_keep_what_was_used(redis_server: RedisServer) -> None:
    async with replicas(redis_server, TEN, number=2) as (_, running):
        assert await admitted(running, 20) == 10
        for one in running:
            one.keeper.configure(policy(generation=2, requestsPerMinute=15))
        reply = await running[0].admit()
        assert (reply.admitted, reply.requests.limit) == (True, 15)
        assert await admitted(running, 20) == 4


async def test_a_tenant_that_goes_gives_back_its_leases(redis_server: RedisServer) -> None:
    rich = {"name": "batch", "requestsPerMinute": 6000, "tokensPerMinute": 6_000_000, "burstTokens": 600_000}
    config = policy(tenants=[{"name": "gold"}, rich])
    async with replicas(redis_server, config, number=2) as (clock, (one, two)):
        reply = await one.admit(tenant="batch", max_tokens=10)
        for _ in range(20):
            await admitted([one], 10, tenant="batch", max_tokens=10)
            await clock.advance(0.05)
        one.keeper.configure(policy(generation=2))
        await one.keeper.link.round()
        assert not (await one.commit(reply)).committed
        assert (await two.admit(tenant="batch", max_tokens=10)).requests.remaining == 6000 - 201 - 1


async def test_a_tenant_that_comes_back_is_answered_anew(redis_server: RedisServer) -> None:
    async with replicas(redis_server, TEN) as (_, (one,)):
        assert (await one.admit()).requests.remaining == 9
        one.keeper.configure(policy(generation=2, tenants=[{"name": "other"}]))
        one.keeper.configure(policy(generation=3, requestsPerMinute=10))
        assert [(await one.admit()).requests.remaining for _ in range(2)] == [8, 7]


class TestWithoutRedis:
    """What each failureMode does, and that it ends by itself."""

    async def outage(self, server: RedisServer, running: list[Replica]) -> None:
        server.stop()
        for _ in range(3):
            for one in running:
                await one.keeper.link.round()

    async def recovery(self, clock: Clock, server: RedisServer, running: list[Replica]) -> None:
        server.start()
        await clock.tell()
        await greeted(clock, running)

    async def test_local_shares_the_limit_by_the_replicas(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, policy(requestsPerMinute=90), number=3) as (clock, running):
            await self.outage(redis_server, running)
            reply = await running[0].admit()
            assert (reply.admitted, reply.local) == (True, True)
            assert await admitted(running[:1], 40) == 29
            assert await admitted(running[1:], 80) == 60
            await self.recovery(clock, redis_server, running)
            # What was admitted meanwhile is charged.
            reply = await running[1].admit()
            assert (reply.refusal, reply.local) == (Refusal.REQUESTS, False)

    async def test_what_was_used_before_counts(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, policy(requestsPerMinute=90), number=3) as (_, running):
            assert await admitted(running, 60) == 60
            await self.outage(redis_server, running)
            # Each goes by what it last heard of the others.
            assert 30 <= await admitted(running, 60) <= 33

    async def test_allow_admits_all_and_charges_it(self, redis_server: RedisServer) -> None:
        config = policy(failureMode="Allow", requestsPerMinute=5)
        async with replicas(redis_server, config) as (clock, (one,)):
            await self.outage(redis_server, [one])
            assert await admitted([one], 20) == 20
            await self.recovery(clock, redis_server, [one])
            assert (await one.admit()).refusal is Refusal.REQUESTS

    async def test_deny_admits_none(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, policy(failureMode="Deny")) as (clock, (one,)):
            await self.outage(redis_server, [one])
            reply = await one.admit()
            assert (reply.refusal, reply.retry_after_ms, reply.local) == (Refusal.STORE, 1000, True)
            await self.recovery(clock, redis_server, [one])
            assert (await one.admit()).admitted

    async def test_a_commit_is_kept_until_redis_is_back(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, policy()) as (clock, (one,)):
            reply = await one.admit(max_tokens=100)
            await self.outage(redis_server, [one])
            committed = await one.commit(reply, output_tokens=30)
            assert (committed.committed, committed.local) == (True, True)
            await self.recovery(clock, redis_server, [one])
            assert [hour.amounts for hour in one.usage.take()] == [{Field("requests"): 1, Field("output_tokens"): 30}]
            assert not (await one.commit(reply)).committed

    async def test_a_redis_that_forgot_is_told_again(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, TEN, number=2) as (clock, running):
            assert await admitted(running, 8) == 8
            redis_server.stop()
            redis_server.start()
            await clock.tell()
            await greeted(clock, running)
            assert await admitted(running, 8) == 2

    async def test_what_was_used_evenly_meanwhile_leaves_the_burst(self, redis_server: RedisServer) -> None:
        config = policy(failureMode="Allow", tokensPerMinute=6000, burstTokens=1000, maxTokensPerRequest=1000)
        async with replicas(redis_server, config) as (clock, (one,)):
            await self.outage(redis_server, [one])
            for _ in range(50):
                assert (await one.admit(max_tokens=90)).admitted
                clock.us += 1_000_000
            await self.recovery(clock, redis_server, [one])
            assert (await one.admit(max_tokens=900)).admitted
            # Of the minute 600 are left, whatever the burst.
            assert (await one.admit(max_tokens=700)).refusal is Refusal.TOKENS

    async def test_a_commit_that_comes_twice_meanwhile_counts_once(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, policy()) as (clock, (one,)):
            reply = await one.admit(max_tokens=100)
            await self.outage(redis_server, [one])
            assert (await one.commit(reply, output_tokens=30)).committed
            await one.commit(reply, output_tokens=30)
            await self.recovery(clock, redis_server, [one])
            assert [hour.amounts for hour in one.usage.take()] == [{Field("requests"): 1, Field("output_tokens"): 30}]

    async def test_streams_opened_meanwhile_hold_their_slots(self, redis_server: RedisServer) -> None:
        async with replicas(redis_server, policy(maxConcurrentStreams=4), number=2) as (clock, running):
            await self.outage(redis_server, running)
            replies = [await one.admit(stream=True) for one in running for _ in range(3)]
            assert [reply.admitted for reply in replies] == [True, True, False] * 2
            await running[1].commit(replies[0])
            await self.recovery(clock, redis_server, running)
            assert await admitted(running, 3, stream=True) == 1


async def test_a_new_replica_takes_the_key_of_the_others(redis_server: RedisServer) -> None:
    async with replicas(redis_server, policy()) as (clock, (one,)):
        late = replica(clock, policy(), number=9)
        await late.keeper.link.round()
        reply = await one.admit()
        assert (await late.commit(reply)).committed
        await late.die()
