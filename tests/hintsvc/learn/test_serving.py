"""The model beside the law, as the leader's rounds see it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.hintsvc.support import RedisServer, runtime
from tokenflow_api.hints import ModelReport
from tokenflow_hintsvc.configuration import Configuration, Origin
from tokenflow_hintsvc.decide.decision import BLIND, Foresight
from tokenflow_hintsvc.decide.samples import PathKey, PathSample
from tokenflow_hintsvc.learn.choice import Choice
from tokenflow_hintsvc.learn.errors import RegistryError
from tokenflow_hintsvc.learn.model import CARD, Bundle, read_card
from tokenflow_hintsvc.learn.serving import Forecasting
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.models import Models

pytestmark = pytest.mark.redis
TENANTS = [f"tenant-{number}" for number in range(8)]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def configured(**model: object) -> Configuration:
    configuration = Configuration()
    tenants = [{"name": name} for name in TENANTS]
    configuration.offer(runtime(tenants=tenants, model=model).model_dump_json().encode(), origin=Origin.FILE)
    return configuration


def windows(rtt_us: np.ndarray) -> Iterator[list[PathSample]]:
    """Yield a sample of each tenant's path for each second."""
    for second, mean in enumerate(rtt_us):
        yield [
            PathSample(
                key=PathKey(tenant, "llama", "10.0.0.0/24"),
                at_ms=second * 1000,
                rtt_us=float(mean),
                rtt_min_us=100.0,
                retransmit_ratio=0.0,
                delivered_tokens_per_second=10.0,
                active_streams=1,
                missing=(),
            )
            for tenant in TENANTS
        ]


@asynccontextmanager
async def registry(redis_server: RedisServer) -> AsyncIterator[Models]:
    connection = Connection(redis_server.url, policy_uid="policy-1")
    try:
        yield Models(connection)
    finally:
        await connection.close()


async def foreseen(
    models: Models,
    configuration: Configuration,
    bundle: Bundle | None,
    *,
    done: Callable[[Foresight], bool] = lambda told: told.report is not None,
) -> Foresight:
    """Return what is told after forty windows, once the thread has thought."""
    if bundle is not None:
        await models.promote((await models.push(bundle)).version)
    forecasting = Forecasting(choice=Choice(models), configuration=configuration)
    samples: list[PathSample] = []
    for samples in windows(6000 * np.exp(np.random.default_rng(0).normal(0, 0.3, 40))):
        forecasting.foresee(samples)
    work = asyncio.create_task(forecasting.run())
    try:
        async with asyncio.timeout(30):
            while True:
                told = forecasting.foresee(samples)
                if told is BLIND or done(told):
                    return told
                await asyncio.sleep(0)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def report(told: Foresight) -> ModelReport:
    assert told.report is not None
    return told.report


async def test_an_active_model_foresees_for_every_tenant(redis_server: RedisServer, bundle: Bundle) -> None:
    async with registry(redis_server) as models:
        told = await foreseen(models, configured(mode="Active"), bundle, done=lambda it: bool(it.forecasts))
    assert {key.tenant for key in told.forecasts} == set(TENANTS)
    assert report(told).version == next(iter(told.forecasts.values())).version
    for forecast in told.forecasts.values():
        assert 1000 < forecast.p10_us < forecast.p50_us < forecast.p90_us < 36_000


async def test_off_says_nothing(redis_server: RedisServer) -> None:
    async with registry(redis_server) as models:
        assert await foreseen(models, configured(mode="Off"), None) is BLIND


async def test_shadow_acts_for_nobody(redis_server: RedisServer, bundle: Bundle) -> None:
    async with registry(redis_server) as models:
        told = await foreseen(models, configured(mode="Shadow"), bundle)
    assert told.forecasts == {}
    assert report(told).version == bundle_version(bundle)


async def test_a_missing_version_leaves_the_law_alone_and_says_what_to_run(redis_server: RedisServer) -> None:
    async with registry(redis_server) as models:
        told = await foreseen(models, configured(mode="Active", version="v9"), None)
    assert told.forecasts == {}
    assert report(told).message == (
        "the law runs alone: there is no model v9: push it with 'tokenflow-hintsvc models push DIR'"
    )


async def test_a_model_in_memory_goes_back_to_a_redis_that_lost_it(redis_server: RedisServer, bundle: Bundle) -> None:
    async with registry(redis_server) as models:
        await models.promote((await models.push(bundle)).version)
        choice = Choice(models)
        spec = configured(mode="Active").current
        assert spec is not None
        first = await choice.model(spec.spec.model)
        connection = Connection(redis_server.url, policy_uid="policy-1")
        await connection.redis.flushall()
        await connection.close()
        assert await choice.model(spec.spec.model) is first
        assert await models.promoted() == bundle_version(bundle)
        assert await models.get(bundle_version(bundle)) == bundle


async def test_a_damaged_model_in_redis_is_refused(redis_server: RedisServer, bundle: Bundle) -> None:
    async with registry(redis_server) as models:
        version = (await models.push(bundle)).version
        connection = Connection(redis_server.url, policy_uid="policy-1")
        await connection.redis.hset(connection.key("model", version), "p50.nodes", b"damaged")  # type: ignore[misc]
        await connection.close()
        clock = Clock()
        choice = Choice(models, clock=clock)
        config = configured(mode="Active", version=version).current
        assert config is not None
        assert await choice.model(config.spec.model) is None
        assert choice.trouble.startswith(f"the law runs alone: model {version} is refused: p50.nodes is not the file")
        await models.push(bundle)
        clock.now += 29
        assert await choice.model(config.spec.model) is None
        assert choice.trouble.startswith(f"the law runs alone: model {version} is refused: p50.nodes is not the file")
        clock.now += 2
        served = await choice.model(config.spec.model)
        assert served is not None
        assert choice.trouble == ""


async def test_a_rollback_promotes_what_was_before(redis_server: RedisServer, bundle: Bundle) -> None:
    async with registry(redis_server) as models:
        for version in ("v1", "v2", "v3"):
            await models.push(renamed(bundle, version))
            await models.promote(version)
        await models.remove("v2")
        assert await models.roll_back() == "v1"
        assert await models.promoted() == "v1"


async def test_the_registry_holds_sixteen(redis_server: RedisServer, bundle: Bundle) -> None:
    async with registry(redis_server) as models:
        for number in range(16):
            await models.push(renamed(bundle, f"v{number}"))
        with pytest.raises(RegistryError, match="16 models already: remove one"):
            await models.push(renamed(bundle, "v16"))
        assert len(await models.cards()) == 16


def bundle_version(bundle: Bundle) -> str:
    return read_card(bundle).version


def renamed(bundle: Bundle, version: str) -> Bundle:
    card = read_card(bundle).model_copy(update={"version": version})
    return {**bundle, CARD: card.model_dump_json().encode()}
