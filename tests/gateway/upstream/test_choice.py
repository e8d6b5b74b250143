"""Which upstream is asked first, out of what is known."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.upstream.fleets import state
from tokenflow_api.pacing_policy import LoadBalancing
from tokenflow_gateway.upstream.choice import UpstreamState, order

BY_LOAD, BY_PREFIX = LoadBalancing.LEAST_LOAD, LoadBalancing.PREFIX_AFFINITY
SOME = st.one_of(st.none(), st.floats(0.0, 10.0))


@pytest.mark.parametrize(
    ("known", "saturation"),
    [
        (state(), None),
        (state(waiting=0.0), 0.0),
        (state(waiting=5.0, kv_cache=0.4), 1.0),
        (state(waiting=1.0, kv_cache=0.8), 1.0),
        (state(waiting=1.0, gpu=0.9), 0.9),
    ],
)
def test_saturation_is_that_of_the_scarcest(known: UpstreamState, saturation: float | None) -> None:
    assert known.saturation == saturation


@pytest.mark.parametrize(
    ("known", "room"),
    [
        (state(), True),
        (state(in_flight=999), True),
        (state(in_flight=1000), False),
        (state(resting=True), True),
        (state(waiting=4.0, kv_cache=0.79), True),
        (state(waiting=5.0), False),
        (state(kv_cache=0.8), False),
        (state(gpu=1.0), False),
    ],
)
def test_one_that_is_full_or_saturated_has_no_room(known: UpstreamState, room: bool) -> None:
    assert known.has_room is room
    assert order([known], balancing=BY_LOAD, key=None) == (["a"] if room else [])
    assert order([known], balancing=BY_PREFIX, key=b"key") == (["a"] if room else [])


@pytest.mark.parametrize(
    "worse",
    [
        state("worse", in_flight=11),
        state("worse", in_flight=10, waiting=1.0),
        state("worse", in_flight=10, kv_cache=0.5),
        state("worse", in_flight=10, gpu=0.5),
        state("worse", in_flight=10, health=0.5),
    ],
)
def test_the_less_loaded_of_two_is_asked_first(worse: UpstreamState) -> None:
    better = state("better", in_flight=10)
    assert order([worse, better], balancing=BY_LOAD, key=b"key") == ["better", "worse"]
    assert order([worse, better], balancing=BY_PREFIX, key=None) == ["better", "worse"]


@pytest.mark.parametrize("key", [None, b"key"])
def test_one_that_asked_to_be_left_alone_is_asked_last_of_those_that_have_room(key: bytes | None) -> None:
    states = [state("a", resting=True), state("b", in_flight=999), state("c", in_flight=1000)]
    assert order(states, balancing=BY_PREFIX, key=key) == ["b", "a"]


def test_weight_makes_up_for_load() -> None:
    assert order([state("a", in_flight=9), state("b", weight=10, in_flight=50)], balancing=BY_LOAD, key=None)[0] == "b"


def test_the_worst_of_many_is_never_asked_first_and_others_share() -> None:
    states = [state(f"u{load}", in_flight=load) for load in range(5)]
    drawn = random.Random(1)  # noqa: S311 - no secret
    first = Counter(order(states, balancing=BY_LOAD, key=None, uniform=drawn.random)[0] for _ in range(1000))
    assert set(first) == {"u0", "u1", "u2", "u3"}
    assert first["u0"] > first["u1"] > first["u2"] > first["u3"]


def test_a_prompt_stays_with_its_upstream_while_that_has_room_and_its_share() -> None:
    home = order([state("a"), state("b")], balancing=BY_PREFIX, key=b"key")[0]
    busy = [state(name, in_flight=1 if name == home else 0) for name in "ab"]
    assert order(busy, balancing=BY_PREFIX, key=b"key")[0] == home
    overfull = [state(name, in_flight=10 if name == home else 0) for name in "ab"]
    assert order(overfull, balancing=BY_PREFIX, key=b"key")[0] != home


def test_what_ails_an_upstream_lessens_its_share_and_moves_no_idle_prompt() -> None:
    home = order([state("a"), state("b")], balancing=BY_PREFIX, key=b"key")[0]
    ailing = [state(name, health=0.2 if name == home else 1.0) for name in "ab"]
    assert order(ailing, balancing=BY_PREFIX, key=b"key")[0] == home
    loaded = [state(name, in_flight=8, health=0.2 if name == home else 1.0) for name in "ab"]
    assert order(loaded, balancing=BY_PREFIX, key=b"key")[0] != home


@given(
    states=st.lists(
        st.builds(
            UpstreamState,
            name=st.text("abcdef", min_size=1, max_size=5),
            weight=st.integers(1, 1000),
            in_flight=st.integers(0, 300),
            most=st.integers(1, 300),
            resting=st.booleans(),
            waiting=SOME,
            kv_cache=SOME,
            gpu=SOME,
            health=st.one_of(st.none(), st.floats(0.0, 1.0)),
        ),
        max_size=8,
        unique_by=lambda one: one.name,
    ),
    balancing=st.sampled_from(LoadBalancing),
    key=st.one_of(st.none(), st.binary(max_size=16)),
)
def test_all_that_have_room_are_asked_in_some_order_and_no_others(
    states: list[UpstreamState], balancing: LoadBalancing, key: bytes | None
) -> None:
    names = order(states, balancing=balancing, key=key)
    assert sorted(names) == sorted(one.name for one in states if one.has_room)
