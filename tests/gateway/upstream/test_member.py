"""What is known of an upstream, and for how long."""

import pytest

from tests.gateway.upstream.fleets import Clock
from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import UpstreamBrokeOffError
from tokenflow_gateway.upstream.call import Head
from tokenflow_gateway.upstream.load import EngineLoad
from tokenflow_gateway.upstream.member import Insight, Member
from tokenflow_gateway.upstream.models import ServedModel, parse_models

NOTHING = Insight()
BASE = ServedModel(name="llama-3", owned_by="vllm", created=5)
LORA = ServedModel(name="lora-a", owned_by="me", parent="llama-3")
OTHER = ServedModel(name="other")


def member(clock: Clock, **fields: object) -> Member:
    return Member(Upstream.model_validate({"name": "llama", "url": "http://llama:8000", **fields}), clock=clock)


def test_old_metrics_are_worth_nothing_and_never_mean_saturated() -> None:
    clock = Clock()
    one = member(clock)
    one.saw_load(EngineLoad(waiting=50.0, kv_cache=1.0))
    clock.now += 4.9
    assert one.state(NOTHING).saturation == 10.0
    clock.now += 0.1
    assert (one.state(NOTHING).saturation, one.state(NOTHING).has_room) == (None, True)


def test_what_was_sent_since_the_last_look_waits_where_others_wait() -> None:
    one = member(Clock())
    one.in_flight = 10
    one.saw_load(EngineLoad(waiting=3.0))
    one.in_flight += 1
    assert one.state(NOTHING).has_room
    one.in_flight += 1
    assert not one.state(NOTHING).has_room
    one.in_flight -= 8
    assert one.state(NOTHING).waiting == 0.0


def test_where_nobody_waited_what_was_sent_since_then_may_run_at_once() -> None:
    one = member(Clock())
    one.saw_load(EngineLoad(waiting=0.0))
    one.in_flight = 100
    assert one.state(NOTHING).has_room


def test_hints_tell_of_the_path_and_the_gpus() -> None:
    state = member(Clock()).state(Insight(health=0.5, gpu_saturation=1.2))
    assert (state.health, state.saturation, state.has_room) == (0.5, 1.2, False)


def test_adapters_of_the_policys_models_are_served_beside_these_and_nothing_else_that_it_lists() -> None:
    one = member(Clock(), models=["llama-3", "llama-4"])
    assert [one.serves(name) for name in ("llama-3", "lora-a", None)] == [True, False, True]
    one.saw_models((BASE, LORA, OTHER))
    assert [one.serves(name) for name in ("llama-3", "llama-4", "lora-a", "other")] == [True, True, True, False]
    assert list(one.served.values()) == [BASE, ServedModel(name="llama-4"), LORA]


def test_without_models_in_the_policy_it_serves_what_it_lists_or_all_if_it_cannot_tell() -> None:
    one = member(Clock())
    assert one.serves("anything")
    one.saw_models((LORA, OTHER))
    assert [one.serves(name) for name in ("lora-a", "other", "anything")] == [True, True, False]
    one.saw_models(())
    assert one.serves("anything")


def test_the_last_list_is_kept_for_a_minute() -> None:
    clock = Clock()
    one = member(clock, models=["llama-3"])
    one.saw_models((LORA,))
    clock.now += 59.0
    assert one.serves("lora-a")
    clock.now += 1.0
    assert not one.serves("lora-a")


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "rests_s"),
    [
        (200, {}, "Answered", 0.0),
        (400, {}, "Answered", 0.0),
        (404, {"retry-after": "5"}, "Answered", 0.0),
        (429, {}, "Answered", 0.0),
        (429, {"retry-after": "5"}, "Busy", 5.0),
        (503, {"retry-after": "100000"}, "Busy", 30.0),
        (503, {}, "Failed", 0.0),
        (503, {"retry-after": "Fri, 21 Nov 2025 18:00:00 GMT"}, "Failed", 0.0),
        (500, {}, "Failed", 0.0),
        (501, {}, "Answered", 0.0),
        (502, {}, "Failed", 0.0),
    ],
)
def test_one_that_says_when_to_come_back_is_busy_and_not_broken(
    status: int, headers: dict[str, str], outcome: str, rests_s: float
) -> None:
    one = member(Clock())
    assert one.saw_head(Head(status=status, headers=headers)) == outcome
    assert one.rests_s == rests_s


def test_a_list_of_models_is_read_with_its_adapters() -> None:
    document = b"""{"object": "list", "data": [
        {"id": "llama-3", "object": "model", "created": 5, "owned_by": "vllm", "root": "x", "parent": null},
        {"id": "lora-a", "object": "model", "parent": "llama-3"}]}"""
    assert parse_models(document, upstream="llama") == (
        ServedModel(name="llama-3", owned_by="vllm", created=5),
        ServedModel(name="lora-a", owned_by="tokenflow", created=0, parent="llama-3"),
    )


@pytest.mark.parametrize("document", [b"", b"[]", b'{"data": [{}]}', b'{"data": [{"id": ""}]}', b"\xff"])
def test_another_form_of_list_is_refused_with_the_place(document: bytes) -> None:
    with pytest.raises(UpstreamBrokeOffError, match="upstream 'llama' lists models in a form of its own"):
        parse_models(document, upstream="llama")
