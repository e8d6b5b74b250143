"""The upstreams together: who is asked, and what becomes of it."""

import asyncio

import pytest

from tests.gateway.upstream.fleets import Clock, eventually, fleet_of, gateway, taken
from tests.gateway.upstream.servers import OK, PATIENCE_S, Server, serving, upstream
from tokenflow_api.pacing_policy import LoadBalancing, Upstream
from tokenflow_gateway.errors import ModelNotFoundError, NoUpstreamError
from tokenflow_gateway.metrics import REGISTRY
from tokenflow_gateway.upstream import polls
from tokenflow_gateway.upstream.breaker import BreakerState
from tokenflow_gateway.upstream.call import Head
from tokenflow_gateway.upstream.member import Insight

FINE = Head(status=200, headers={})


def named(name: str, **fields: object) -> Upstream:
    return Upstream.model_validate({"name": name, "url": f"http://{name}:8000", "models": ["llama-3"], **fields})


def answer(body: bytes, *, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def test_an_unknown_model_is_refused_with_those_that_are_served() -> None:
    async with fleet_of(named("a"), named("b", models=["mistral", "qwen"])) as (fleet, _):
        with pytest.raises(ModelNotFoundError, match=r"serves model 'gpt-9': write one of llama-3, mistral, qwen"):
            fleet.take("gpt-9", prefix=None)


async def test_a_model_goes_to_those_that_serve_it() -> None:
    async with fleet_of(named("a"), named("b", models=["mistral"])) as (fleet, _):
        assert {taken(fleet, "mistral").upstream.name for _ in range(5)} == {"b"}
        assert {taken(fleet, None).upstream.name for _ in range(20)} == {"a", "b"}


async def test_there_is_no_lease_while_all_are_full_and_who_waits_is_told_of_room() -> None:
    told: list[int] = []
    async with fleet_of(named("a", maxConcurrentRequests=1)) as (fleet, _):
        fleet.on_room(lambda: told.append(1))
        lease = taken(fleet)
        assert fleet.take("llama-3", prefix=None) is None
        assert told == []
        lease.release()
        lease.release()
        assert told == [1]
        assert taken(fleet).upstream.name == "a"


async def test_one_that_was_asked_already_is_left_out() -> None:
    async with fleet_of(named("a"), named("b")) as (fleet, _):
        assert taken(fleet, exclude={"a"}).upstream.name == "b"
        assert fleet.take("llama-3", prefix=None, exclude={"a", "b"}) is None


async def test_requests_are_spread_by_load() -> None:
    async with fleet_of(named("a"), named("b", weight=3), loadBalancing=LoadBalancing.LEAST_LOAD) as (fleet, _):
        names = [taken(fleet).upstream.name for _ in range(40)]
        assert (names.count("a"), names.count("b")) == (10, 30)


async def test_prompts_that_begin_alike_go_to_one_upstream_of_those_that_serve_the_model() -> None:
    async with fleet_of(*[named(name) for name in "abcd"]) as (fleet, _):
        homes = []
        for _ in range(5):
            lease = fleet.take("llama-3", prefix=b"Be brief.")
            assert lease is not None
            homes.append(lease.upstream.name)
            lease.release()
        assert len(set(homes)) == 1


async def test_one_that_fails_is_left_alone_and_the_rest_serve() -> None:
    async with fleet_of(named("a"), named("b")) as (fleet, _):
        for _ in range(5):
            with taken(fleet, exclude={"b"}) as lease:
                lease.failed()
        assert {taken(fleet).upstream.name for _ in range(10)} == {"b"}


async def test_when_all_have_failed_the_answer_says_when_to_come_back() -> None:
    async with fleet_of(named("a")) as (fleet, _):
        for _ in range(5):
            with taken(fleet) as lease:
                lease.failed()
        with pytest.raises(NoUpstreamError, match="no upstream answers for model 'llama-3': a failed too often") as no:
            fleet.take("llama-3", prefix=None)
        assert (no.value.status, no.value.code, no.value.retry_after_s) == (503, "no_upstream", 1)


async def test_an_upstream_that_answers_a_probe_is_asked_again() -> None:
    clock = Clock()
    async with fleet_of(named("a"), clock=clock) as (fleet, _):
        for _ in range(5):
            with taken(fleet) as lease:
                lease.failed()
        clock.now += 1.0
        probe = taken(fleet)
        with pytest.raises(NoUpstreamError):
            fleet.take("llama-3", prefix=None)
        probe.answered(FINE)
        assert taken(fleet).upstream.name == "a"


async def test_one_that_asks_to_be_left_alone_is_not_broken_and_asked_only_when_nobody_else_has_room() -> None:
    both = named("a"), named("b", maxConcurrentRequests=2)
    async with fleet_of(*both, clock=Clock()) as (fleet, _):
        with taken(fleet, exclude={"b"}) as lease:
            lease.answered(Head(status=429, headers={"retry-after": "7"}))
        assert [taken(fleet).upstream.name for _ in range(3)] == ["b", "b", "a"]
        assert (fleet.view()[0].breaker, fleet.view()[0].rests_s) == (BreakerState.CLOSED, 7.0)


async def test_hints_send_requests_elsewhere() -> None:
    told = {"a": Insight(gpu_saturation=1.0), "b": Insight(health=0.9)}
    async with fleet_of(named("a"), named("b"), insight=lambda name: told[name]) as (fleet, _):
        assert {taken(fleet).upstream.name for _ in range(5)} == {"b"}


async def test_the_config_is_followed_without_losing_what_is_known() -> None:
    async with fleet_of(named("a"), named("b")) as (fleet, _):
        kept, gone = taken(fleet, exclude={"b"}), taken(fleet, exclude={"a"})
        fleet.adopt(gateway(named("a", maxConcurrentRequests=1), named("c")))
        assert [(view.name, view.in_flight, view.most) for view in fleet.view()] == [("a", 1, 1), ("c", 0, 256)]
        gone.failed()
        gone.release()
        kept.release()
        assert [view.in_flight for view in fleet.view()] == [0, 0]


async def test_another_url_is_another_upstream() -> None:
    async with fleet_of(named("a", maxConcurrentRequests=1)) as (fleet, _):
        taken(fleet)
        fleet.adopt(gateway(named("a", maxConcurrentRequests=1, url="http://other:8000")))
        assert taken(fleet).upstream.url == "http://other:8000"


async def test_all_models_are_listed_once() -> None:
    async with fleet_of(named("a"), named("b", models=["llama-3", "alpaca"])) as (fleet, _):
        assert [model.name for model in fleet.models()] == ["alpaca", "llama-3"]


def failed_polls() -> float:
    labels = {"upstream": "llama", "what": "metrics"}
    return REGISTRY.get_sample_value("tokenflow_gateway_upstream_polls_failed_total", labels) or 0.0


class Engine:
    """An engine that tells of itself."""

    def __init__(self) -> None:
        self.metrics = answer(b"vllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.4\n")
        self.models = answer(b'{"data": [{"id": "llama-3", "owned_by": "vllm"}, {"id": "lora-a"}]}')
        self.paths: list[bytes] = []

    async def say(self, server: Server, number: int, writer: asyncio.StreamWriter) -> None:
        path = server.requests[number].split(b" ")[1]
        self.paths.append(path)
        writer.write({b"/metrics": self.metrics, b"/v1/models": self.models}.get(path, OK))


async def test_engines_are_asked_how_busy_they_are_and_what_they_serve() -> None:
    engine = Engine()
    async with serving(engine.say) as server, fleet_of(upstream(server)) as (fleet, _):
        told: list[int] = []
        fleet.on_room(lambda: told.append(1))
        running = asyncio.create_task(fleet.run())
        try:
            await eventually(lambda: len(told) >= 2)
            (view,) = fleet.view()
            assert (view.waiting, view.kv_cache, view.saturation) == (2.0, 0.4, 0.5)
            assert view.models == ("llama-3", "lora-a")
            assert sorted(engine.paths[:2]) == [b"/metrics", b"/v1/models"]
            labels = {"upstream": "llama"}
            assert REGISTRY.get_sample_value("tokenflow_gateway_upstream_saturation", labels) == 0.5
            assert taken(fleet, "lora-a").upstream.name == "llama"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_one_that_does_not_tell_of_itself_is_asked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polls, "LONGEST_PAUSE_S", 0.02)
    engine = Engine()
    engine.metrics = engine.models = answer(b"no", status=b"404 Not Found")
    async with serving(engine.say) as server, fleet_of(upstream(server)) as (fleet, _):
        running = asyncio.create_task(fleet.run())
        try:
            before = failed_polls()
            await eventually(lambda: failed_polls() >= before + 2)
            assert taken(fleet, "anything").upstream.name == "llama"
            assert fleet.view()[0].saturation is None
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_upstreams_that_come_are_looked_at_and_those_that_go_are_not() -> None:
    first, second = Engine(), Engine()
    async with (
        serving(first.say) as one,
        serving(second.say) as two,
        fleet_of(upstream(one, name="one")) as (fleet, _),
    ):
        running = asyncio.create_task(fleet.run())
        try:
            await eventually(lambda: len(first.paths) >= 2)
            fleet.adopt(gateway(upstream(two, name="two")))
            await eventually(lambda: len(second.paths) >= 2)
            await asyncio.wait_for(one.left.wait(), PATIENCE_S)
            assert [view.name for view in fleet.view()] == ["two"]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
