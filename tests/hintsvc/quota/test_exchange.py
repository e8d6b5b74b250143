"""The shared script against a plain list of what was taken."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bench.proc import free_port
from tests.hintsvc.quota.support import Clock, TimedQuotas
from tests.hintsvc.support import RedisServer
from tokenflow_api.quotas.limits import Limits, Rate
from tokenflow_api.quotas.meter import BUCKET_US, MINUTE_US
from tokenflow_hintsvc.quota.exchange import Answer, Question, Settlement, Waiter
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.quotas import Quotas

pytestmark = pytest.mark.redis

LIMITS = Limits(
    requests=Rate(per_minute=50, burst=50),
    tokens=Rate(per_minute=5000, burst=1500),
    streams=5,
    all_streams=5,
    max_tokens=1500,
    reservation_ms=660_000,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(free_port(), Path(tmp_path_factory.mktemp("redis")))
    running.start()
    yield running
    running.stop()


@dataclass
class Reference:
    """The cell rate law and the sliding minute, by the book."""

    rate: Rate
    taken: list[tuple[int, int]] = field(default_factory=list)
    level: float = 0.0
    at_us: int = 0

    def room(self, now_us: int) -> int:
        self.level = max(0.0, self.level - (now_us - self.at_us) * self.rate.per_minute / MINUTE_US)
        self.at_us = now_us
        within = sum(amount for bucket, amount in self.taken if (bucket + 1) * BUCKET_US + MINUTE_US > now_us)
        return int(min(self.rate.per_minute - within, self.rate.burst - self.level) // 1)

    def take(self, bucket: int, amount: int) -> None:
        self.taken.append((bucket, amount))
        self.level += amount

    def give_back(self, bucket: int, amount: int) -> None:
        self.taken.append((bucket, -amount))
        self.level = max(0.0, self.level - amount)


class Shared:
    """One replica's questions to the script."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.connection = Connection(clock.url, policy_uid="policy-1")
        self.quotas = TimedQuotas(self.connection, boot="ab")
        self.sequence = 0
        self.epoch = ""

    async def start(self) -> None:
        await self.connection.redis.flushall()
        await self.clock.tell()
        self.epoch = (await self.quotas.greet(key=b"k" * 32)).epoch

    async def ask(self, **asked: object) -> Answer:
        self.sequence += 1
        return await self.send(Question(tenant="gold", sequence=self.sequence, limits=LIMITS, **asked))  # type: ignore[arg-type]

    async def send(self, question: Question) -> Answer:
        (answer,) = await self.quotas.exchange([question], epoch=self.epoch)
        assert isinstance(answer, Answer)
        return answer


steps = st.one_of(
    st.tuples(st.just("admit"), st.integers(1, 1500)),
    st.tuples(st.just("commit"), st.integers(0, 100), st.integers(0, 2000)),
    st.tuples(st.just("advance"), st.integers(0, 15_000)),
)


@settings(max_examples=60, deadline=None)
@given(script=st.lists(steps, max_size=30))
def test_it_has_the_room_that_the_law_gives(server: RedisServer, script: list[tuple[str, int]]) -> None:
    asyncio.run(_compare(server, script))


async def _compare(server: RedisServer, script: list[tuple[str, int]]) -> None:
    clock = Clock(server.url)
    shared = Shared(clock)
    await shared.start()
    requests, tokens = Reference(LIMITS.requests), Reference(LIMITS.tokens)
    admitted: list[tuple[int, int]] = []
    for step in script:
        match step:
            case ("admit", amount):
                has_room = requests.room(clock.us) >= 1 and tokens.room(clock.us) >= amount
                answer = await shared.ask(waiters=[Waiter(tokens=amount, slot="")])
                assert (answer.waiters[0].code == 0) == has_room
                if has_room:
                    requests.take(answer.bucket, 1)
                    tokens.take(answer.bucket, amount)
                    admitted.append((answer.bucket, amount))
            case ("commit", which, used) if which < len(admitted):
                bucket, reserved = admitted[which]
                tokens.room(clock.us)
                settlement = Settlement(boot="ab", number=which, bucket=bucket, reserved=reserved, used=used)
                answer = await shared.ask(commits=[settlement])
                if answer.first[0] and used < reserved:
                    tokens.give_back(bucket, reserved - used)
                elif answer.first[0]:
                    tokens.take(answer.bucket, used - reserved)
            case ("advance", milliseconds):
                await clock.advance(milliseconds / 1000)
                answer = await shared.ask()
            case _:
                continue
        assert answer.requests.remaining == max(0, requests.room(clock.us))
        assert abs(answer.tokens.remaining - max(0, tokens.room(clock.us))) <= 1
    await shared.connection.close()


async def test_a_question_that_comes_again_counts_once(server: RedisServer) -> None:
    shared = Shared(Clock(server.url))
    await shared.start()
    question = Question(tenant="gold", sequence=1, limits=LIMITS, waiters=[Waiter(tokens=10, slot="s")])
    assert await shared.send(question) == await shared.send(question)
    assert (await shared.ask()).requests.taken == 1
    await shared.connection.close()


async def test_a_clock_that_goes_back_forgets_nothing_and_stops_nothing(server: RedisServer) -> None:
    shared = Shared(Clock(server.url))
    await shared.start()
    await shared.ask(waiters=[Waiter(tokens=10, slot="")] * 50)
    await shared.clock.advance(-3600)
    assert (await shared.ask(waiters=[Waiter(tokens=10, slot="")])).waiters[0].code == 1
    await shared.clock.advance(61)
    assert (await shared.ask(waiters=[Waiter(tokens=10, slot="")])).waiters[0].code == 0
    await shared.connection.close()


async def test_every_key_runs_out(server: RedisServer) -> None:
    shared = Shared(Clock(server.url))
    await shared.start()
    settlement = Settlement(boot="ab", number=1, bucket=shared.clock.us // BUCKET_US, reserved=10, used=5)
    await shared.ask(waiters=[Waiter(tokens=10, slot="s")], commits=[settlement], slots=["t"], requests_wanted=2)
    redis = shared.connection.redis
    keys = [key for key in await redis.keys("*") if key != b"clock"]
    assert len(keys) == 9
    assert [key for key in keys if await redis.pttl(key) <= 0] == []
    await shared.connection.close()


async def test_what_tenants_took_within_the_last_minute_is_told(server: RedisServer) -> None:
    connection = Connection(server.url, policy_uid="policy-2")
    quotas = Quotas(connection, boot="ab")
    epoch = (await quotas.greet(key=b"k" * 32)).epoch
    waiters = [Waiter(tokens=300, slot=""), Waiter(tokens=200, slot="")]
    await quotas.exchange([Question(tenant="gold", sequence=1, limits=LIMITS, waiters=waiters)], epoch=epoch)
    usage = await quotas.last_minute(["gold", "free"])
    assert [(used.tenant, used.requests_last_minute, used.tokens_last_minute) for used in usage] == [
        ("gold", 2, 500),
        ("free", 0, 0),
    ]
    await connection.close()
