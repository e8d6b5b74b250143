import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.gateway.admission.support import Clock, Service, door, hint, policy, reply, tenant, wanted
from tests.gateway.support import eventually
from tokenflow_api.hints import Admission
from tokenflow_api.quota import AdmitReply, AdmitRequest, Refusal
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.admission.door import Door
from tokenflow_gateway.errors import (
    GatewayError,
    OverloadedError,
    PostponedError,
    QueueFullError,
    QueueTimeoutError,
    QuotaUnavailableError,
    RateLimitError,
    ShedError,
    TooManyTokensError,
)
from tokenflow_gateway.stream.usage import Usage

USED = Usage(input_tokens=12, output_tokens=30, measured=True)


@asynccontextmanager
async def running(made: Door) -> AsyncIterator[None]:
    task = asyncio.create_task(made.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_request_is_reserved_and_committed_by_what_it_took() -> None:
    service, config = Service(), policy()
    made = door(service, config, clock=Clock())
    async with running(made):
        ticket = await made.admit(wanted(config))
        assert (ticket.max_tokens, ticket.queued_s, made.running) == (None, 0.0, 1)
        assert ticket.headers["x-ratelimit-reset-tokens"] == "6m0s"
        ticket.commit(USED, duration_s=1.5)
        ticket.release()
        assert await made.drain(within_s=5) == 0
    (asked,) = service.asked
    assert (asked.tenant, asked.max_tokens, asked.input_tokens, asked.stream) == ("gold", 90, 10, True)
    (committed,) = service.commits
    assert (committed.reservation, committed.input_tokens, committed.output_tokens) == ("r1", 12, 30)
    assert (committed.duration_ms, made.running) == (1500, 0)


async def test_an_upstream_that_tells_an_absurd_usage_does_not_keep_its_request_running() -> None:
    service, config = Service(), policy()
    made = door(service, config, clock=Clock())
    async with running(made):
        ticket = await made.admit(wanted(config))
        ticket.commit(Usage(input_tokens=10**12, output_tokens=10**12, measured=True), duration_s=1.0)
        assert await made.drain(within_s=1.0) == 0
    assert made.running == 0
    assert [(done.input_tokens, done.output_tokens) for done in service.commits] == [(10**9, 10**9)]


async def test_a_request_that_never_reached_an_upstream_commits_nothing_used() -> None:
    service, config = Service(), policy()
    made = door(service, config, clock=Clock())
    async with running(made):
        (await made.admit(wanted(config))).release()
        await made.drain(within_s=5)
    assert [(one.input_tokens, one.output_tokens) for one in service.commits] == [(0, 0)]


async def test_all_completions_of_a_request_are_reserved() -> None:
    service, config = Service(), policy()
    await door(service, config, clock=Clock()).admit(wanted(config, max_tokens=300, completions=3))
    assert service.asked[0].max_tokens == 900


@pytest.mark.parametrize(
    ("refusal", "kind", "status", "code", "retry_after"),
    [
        (Refusal.REQUESTS, RateLimitError, 429, "requests_per_minute", "3"),
        (Refusal.TOKENS, RateLimitError, 429, "tokens_per_minute", "3"),
        (Refusal.STREAMS, RateLimitError, 429, "too_many_streams", "3"),
        (Refusal.STORE, QuotaUnavailableError, 503, "quota_unavailable", "3"),
    ],
)
async def test_a_refusal_says_what_it_is_and_when_to_come_back(
    refusal: Refusal, kind: type[GatewayError], status: int, code: str, retry_after: str
) -> None:
    config = policy()
    made = door(Service(replies=[reply(refusal, wait_ms=2100)]), config, clock=Clock())
    with pytest.raises(kind) as caught:
        await made.admit(wanted(config))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.headers()["Retry-After"] == retry_after
    assert made.running == 0


async def test_a_refusal_by_quota_tells_the_limits() -> None:
    config = policy()
    with pytest.raises(RateLimitError) as caught:
        await door(Service(replies=[reply(Refusal.REQUESTS, wait_ms=1)]), config, clock=Clock()).admit(wanted(config))
    assert caught.value.headers()["x-ratelimit-limit-requests"] == "60"


async def test_a_request_for_too_many_tokens_is_refused_without_asking() -> None:
    service, config = Service(), policy()
    with pytest.raises(TooManyTokensError) as caught:
        await door(service, config, clock=Clock()).admit(wanted(config, max_tokens=501, completions=2))
    assert (caught.value.status, caught.value.param, service.asked) == (400, "max_tokens", [])


async def test_under_pressure_of_the_gpus_completions_are_shortened() -> None:
    service, config = Service(), policy()
    made = door(service, config, clock=Clock())
    pressed = hint(max_tokens=50)
    long, short, unbounded = [
        await made.admit(wanted(config, max_tokens=asked, hint=lambda: pressed)) for asked in (90, 40, None)
    ]
    assert (long.max_tokens, short.max_tokens, unbounded.max_tokens) == (50, None, 50)
    assert [asked.max_tokens for asked in service.asked] == [50, 40, 50]


async def test_a_tenant_that_is_shed_is_refused_at_once() -> None:
    service, config = Service(), policy()
    shed = hint(Admission.SHED, retry_after_ms=5000)
    with pytest.raises(ShedError) as caught:
        await door(service, config, clock=Clock()).admit(wanted(config, hint=lambda: shed))
    assert (caught.value.status, caught.value.headers()["Retry-After"], service.asked) == (429, "5", [])


async def test_a_tenant_that_is_held_back_waits_until_it_is_its_turn() -> None:
    clock, service, config = Clock(), Service(), policy()
    made = door(service, config, clock=clock)
    hints = [hint(Admission.QUEUE, retry_after_ms=1000)]
    waiting = asyncio.create_task(made.admit(wanted(config, hint=lambda: hints[0])))
    await eventually(lambda: made.queue.waiting == 1)
    made.queue.wake()
    assert service.asked == []
    hints[0] = hint()
    clock.now += 1.5
    made.queue.wake()
    ticket = await waiting
    assert (ticket.queued_s, len(service.asked)) == (1.5, 1)


async def test_while_the_rest_is_kept_for_others_a_request_waits_and_asks_again() -> None:
    clock, config = Clock(), policy()
    service = Service(replies=[reply(Refusal.CAPACITY, wait_ms=1000), reply(Refusal.CAPACITY, wait_ms=1000)])
    made = door(service, config, clock=clock)
    waiting = asyncio.create_task(made.admit(wanted(config)))
    await eventually(lambda: made.queue.waiting == 1)
    for asked in (2, 3):
        clock.now += 1.0
        made.queue.wake()
        await eventually(lambda asked=asked: len(service.asked) == asked)  # type: ignore[misc]
    assert (await waiting).queued_s == 2.0


async def test_those_held_back_ask_one_at_a_time() -> None:
    clock, config = Clock(), policy()
    service = Gated()
    service.replies = [reply(Refusal.CAPACITY, wait_ms=1000)]
    made = door(service, config, clock=clock)
    service.let.set()
    first = asyncio.create_task(made.admit(wanted(config)))
    await eventually(lambda: made.queue.waiting == 1)
    others = [asyncio.create_task(made.admit(wanted(config))) for _ in range(3)]
    await eventually(lambda: made.queue.waiting == 4)
    service.let.clear()
    clock.now += 1.0
    made.queue.wake()
    await eventually(lambda: len(service.asked) == 2)
    assert made.queue.waiting == 3
    service.let.set()
    await asyncio.gather(first, *others)
    assert len(service.asked) == 5


async def test_nobody_is_held_back_for_longer_than_the_longest_wait() -> None:
    config = policy(gateway={"queue": {"maxWait": "50ms"}})
    made = Door(Service(), config=config)  # type: ignore[arg-type]
    queued = hint(Admission.QUEUE, retry_after_ms=1000)
    with pytest.raises(QueueTimeoutError) as caught:
        await made.admit(wanted(config, hint=lambda: queued))
    assert (caught.value.status, made.running, made.queue.waiting) == (503, 0, 0)


async def test_without_a_queue_who_is_held_back_is_refused() -> None:
    config = policy(gateway={"queue": {"maxRequests": 0}})
    queued = hint(Admission.QUEUE, retry_after_ms=1000)
    with pytest.raises(QueueFullError):
        await door(Service(), config, clock=Clock()).admit(wanted(config, hint=lambda: queued))


async def test_a_full_gateway_sheds_the_lowest_priority_first() -> None:
    config = policy(gateway={"maxStreams": 10})
    made = door(Service(), config, clock=Clock())
    tickets = [await made.admit(wanted(config)) for _ in range(8)]
    with pytest.raises(OverloadedError) as caught:
        await made.admit(wanted(config, "bronze"))
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
    tickets += [await made.admit(wanted(config)) for _ in range(2)]
    with pytest.raises(OverloadedError):
        await made.admit(wanted(config))
    for ticket in tickets:
        ticket.release()
    await made.admit(wanted(config, "bronze"))


def shadow_refusals(code: str) -> float:
    return metrics.ADMISSIONS.labels("gold", f"Shadow:{code}")._value.get()


@pytest.mark.parametrize("mode", ["Shadow", "Off"])
async def test_where_the_policy_does_not_enforce_nothing_is_refused(mode: str) -> None:
    config = policy(mode=mode, gateway={"maxStreams": 1})
    shadow = reply(Refusal.REQUESTS, wait_ms=1000).model_copy(update={"admitted": True, "reservation": "r2"})
    made = door(Service(replies=[shadow]), config, clock=Clock())
    codes = ("requests_per_minute", "max_tokens_exceeded", "gateway_overloaded")
    before = [shadow_refusals(code) for code in codes]
    pressed = hint(Admission.SHED, retry_after_ms=5000, max_tokens=5)
    tickets = [await made.admit(wanted(config, max_tokens=5000, hint=lambda: pressed)) for _ in range(3)]
    assert [ticket.max_tokens for ticket in tickets] == [None, None, None]
    after = [shadow_refusals(code) for code in codes]
    counted = [now - then for now, then in zip(after, before, strict=True)]
    # Of three requests that ask for too much, two come to a full gateway, and one has used up its minute.
    assert counted == ([1, 3, 2] if mode == "Shadow" else [0, 0, 0])


async def test_without_the_hint_service_the_failure_mode_decides() -> None:
    service = Service(away=True)
    config = policy(gateway={"replicas": 2})
    made = door(service, config, clock=Clock())
    tickets = [await made.admit(wanted(config, max_tokens=1, stream=False)) for _ in range(30)]
    assert tickets[-1].headers["x-ratelimit-limit-requests"] == "30"
    with pytest.raises(RateLimitError):
        await made.admit(wanted(config, max_tokens=1, stream=False))
    assert made.quotas == "Local"
    made.configure(policy(failureMode="Allow"))
    await made.admit(wanted(config))
    made.configure(policy(failureMode="Deny"))
    with pytest.raises(QuotaUnavailableError) as caught:
        await made.admit(wanted(config))
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1)


async def test_what_was_admitted_without_the_hint_service_is_counted_as_uncounted() -> None:
    config = policy()
    made = door(Service(away=True), config, clock=Clock())
    before = metrics.UNCOUNTED.labels("gold")._value.get()
    (await made.admit(wanted(config))).commit(USED, duration_s=1.0)
    assert metrics.UNCOUNTED.labels("gold")._value.get() - before == 42


class Gated(Service):
    """Answers only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def admit(self, asked: AdmitRequest) -> AdmitReply:
        self.asked.append(asked)
        await self.let.wait()
        return self.replies.pop(0) if self.replies else reply()


async def test_what_was_reserved_for_a_reader_who_left_is_given_back() -> None:
    service, config = Gated(), policy()
    made = door(service, config, clock=Clock())
    async with running(made):
        asking = asyncio.create_task(made.admit(wanted(config)))
        await eventually(lambda: bool(service.asked))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert made.running == 0
        service.let.set()
        assert await made.drain(within_s=5) == 0
    assert [(one.reservation, one.output_tokens) for one in service.commits] == [("r1", 0)]


def went_ahead(outcome: str) -> float:
    number: float = metrics.AHEAD.labels(outcome)._value.get()
    return number


async def test_a_tenant_far_from_its_limits_is_let_in_before_its_quota_is_asked_for() -> None:
    service, config = Service(), policy()
    made = door(service, config, clock=Clock())
    before = went_ahead("Admitted")
    async with running(made):
        first, second = [await made.admit(wanted(config), ahead=True) for _ in range(2)]
        assert (len(service.asked), first.headers["x-ratelimit-remaining-requests"], second.headers) == (1, "59", {})
        for _ in range(2):
            await second.confirm()
        assert (len(service.asked), second.headers) == (2, first.headers)
        second.commit(USED, duration_s=1.0)
        assert await made.drain(within_s=5) == 0
    assert [(one.reservation, one.output_tokens) for one in service.commits] == [("r1", 30)]
    assert went_ahead("Admitted") - before == 1


async def test_a_request_that_came_to_nothing_before_its_quota_was_asked_for_asks_for_none() -> None:
    service, config = Service(), policy()
    made = door(service, config, clock=Clock())
    (await made.admit(wanted(config))).release()
    for _ in range(100):
        (await made.admit(wanted(config), ahead=True)).release()
    # A hundred at once would be more than half of what is left.
    await (await made.admit(wanted(config), ahead=True)).confirm()
    assert (len(service.asked), made.running) == (2, 1)


async def test_near_its_limits_a_tenants_quota_is_asked_for_first() -> None:
    service, config = Service(), policy(gateway={"replicas": 1})
    made = door(service, config, clock=Clock())
    tickets = [await made.admit(wanted(config), ahead=True) for _ in range(31)]
    # Of 25 streams that may go ahead each takes one.
    assert [bool(ticket.headers) for ticket in tickets] == [True] + 25 * [False] + 5 * [True]
    assert len(service.asked) == 6


async def test_one_that_is_refused_after_all_is_told_so_when_it_is_confirmed() -> None:
    service, config = Service(replies=[reply(), reply(Refusal.TOKENS, wait_ms=2100)]), policy()
    made = door(service, config, clock=Clock())
    before = went_ahead("Refused")
    await made.admit(wanted(config))
    ticket = await made.admit(wanted(config), ahead=True)
    with pytest.raises(RateLimitError) as caught:
        await ticket.confirm()
    ticket.release()
    assert (caught.value.code, caught.value.headers()["Retry-After"]) == ("tokens_per_minute", "3")
    assert (made.running, went_ahead("Refused") - before) == (1, 1)


async def test_one_that_others_come_before_is_postponed_and_then_waits_its_turn() -> None:
    clock, config = Clock(), policy()
    service = Service(replies=[reply(), reply(Refusal.CAPACITY, wait_ms=1000)])
    made = door(service, config, clock=clock)
    await made.admit(wanted(config))
    ticket = await made.admit(wanted(config), ahead=True)
    with pytest.raises(PostponedError):
        await ticket.confirm()
    ticket.release()
    waiting = asyncio.create_task(made.admit(wanted(config), ahead=True))
    await eventually(lambda: made.queue.waiting == 1)
    assert len(service.asked) == 2
    clock.now += 1.0
    made.queue.wake()
    assert (await waiting).headers


@pytest.mark.parametrize(("at_work", "paid"), [(False, 0), (True, 10)])
async def test_a_reader_who_leaves_while_a_request_is_confirmed_pays_for_an_upstreams_work_alone(
    *, at_work: bool, paid: int
) -> None:
    service, config = Gated(), policy()
    made = door(service, config, clock=Clock())
    async with running(made):
        service.let.set()
        (await made.admit(wanted(config))).release()
        service.let.clear()
        ticket = await made.admit(wanted(config), ahead=True)
        confirming = asyncio.create_task(ticket.confirm(at_work=at_work))
        await eventually(lambda: len(service.asked) == 2)
        confirming.cancel()
        await asyncio.gather(confirming, return_exceptions=True)
        ticket.release()
        service.let.set()
        assert await made.drain(within_s=5) == 0
    told = [(one.reservation, one.input_tokens, one.output_tokens) for one in service.commits]
    assert told == [("r1", 0, 0), ("r1", paid, 0)]


async def test_who_has_to_wait_for_an_upstream_is_confirmed_first() -> None:
    service, config = Service(replies=[reply(), reply(Refusal.STREAMS, wait_ms=1000)]), policy()
    made = door(service, config, clock=Clock())
    await made.admit(wanted(config))
    ticket = await made.admit(wanted(config), ahead=True)
    with pytest.raises(RateLimitError):
        await ticket.take(lambda: None, give_back=lambda _: None)
    assert made.queue.waiting == 0


@pytest.mark.parametrize("mode", ["Shadow", "Off"])
async def test_where_nothing_can_be_refused_every_request_goes_ahead(mode: str) -> None:
    service, config = Service(), policy(mode=mode)
    made = door(service, config, clock=Clock())
    ticket = await made.admit(wanted(config), ahead=True)
    assert service.asked == []
    await ticket.confirm()
    assert len(service.asked) == 1


async def test_an_upstream_is_taken_in_turn() -> None:
    clock, config = Clock(), policy()
    made = door(Service(), config, clock=clock)
    places: list[str] = []
    low, high = await made.admit(wanted(config, "bronze")), await made.admit(wanted(config))

    def attempt() -> str | None:
        return places.pop() if places else None

    takes = [asyncio.create_task(one.take(attempt, give_back=places.append)) for one in (low, high)]
    await eventually(lambda: made.queue.waiting == 2)
    clock.now += 0.5
    places.append("llama")
    made.queue.wake()
    assert await takes[1] == "llama"
    assert (takes[0].done(), high.queued_s) == (False, 0.5)
    takes[0].cancel()
    await asyncio.gather(*takes, return_exceptions=True)


def test_a_stream_gets_its_part_of_the_quota() -> None:
    service = Service()
    config = policy(
        tenants=[{"name": "gold", "tokensPerMinute": 60_000}], gateway={"replicas": 2}, pacing={"minTokensPerSecond": 5}
    )
    made = door(service, config, clock=Clock())
    gold = tenant(config)
    assert made.quota_rate(gold, open_streams=0) == 1000.0
    assert made.quota_rate(gold, open_streams=50) == 20.0
    assert made.quota_rate(gold, open_streams=5000) == 5.0
    service.away = True
    assert made.quota_rate(gold, open_streams=50) == 10.0
