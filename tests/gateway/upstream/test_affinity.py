"""Laws of the affinity."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.upstream.fleets import state
from tokenflow_api.pacing_policy import LoadBalancing
from tokenflow_gateway.upstream.affinity import prompt_prefix, ranked
from tokenflow_gateway.upstream.choice import order

NAMES = st.sets(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=8)
KEYS = [f"prompt {number}".encode() for number in range(2000)]


def user(text: str) -> dict[str, object]:
    return {"role": "user", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}


def test_the_turns_of_a_conversation_have_one_prefix() -> None:
    first = {"messages": [SYSTEM, user("Hello")]}
    later = {"messages": [SYSTEM, user("Hello"), {"role": "assistant", "content": "Hi!"}, user("And?")]}
    assert prompt_prefix(first) == prompt_prefix(later) is not None


def test_conversations_that_begin_otherwise_have_another() -> None:
    assert prompt_prefix({"messages": [SYSTEM, user("Hello")]}) != prompt_prefix({"messages": [SYSTEM, user("Bye")]})


def test_images_and_tokens_tell_prompts_apart() -> None:
    def image(url: str) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}

    assert prompt_prefix(image("data:x")) != prompt_prefix(image("data:y"))
    assert prompt_prefix({"prompt": [1, 2, 3]}) != prompt_prefix({"prompt": [1, 23]})


def test_a_prompt_nested_beyond_reason_is_not_followed() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert prompt_prefix({"messages": nested}) is not None


def test_a_long_system_prompt_in_common_is_a_prefix_in_common() -> None:
    system = {"role": "system", "content": "You know all of our products. " * 100}
    prefix = prompt_prefix({"messages": [system, user("Hello")]})
    assert prefix == prompt_prefix({"messages": [system, user("Bye")]})
    assert prefix is not None
    assert len(prefix) == 1024


@pytest.mark.parametrize(
    "request_",
    [
        {"prompt": "Once upon a time"},
        {"prompt": [1, 2, 3]},
        {"input": "Once upon a time", "instructions": "Be brief."},
        {"input": [SYSTEM, user("Hello")]},
        {"messages": [user("\udce9")]},
        {"messages": []},
        {"messages": ["no message"]},
        {"messages": [user("x" * 10_000_000)]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
    ],
)
def test_prompts_of_all_kinds_have_a_prefix(request_: dict[str, object]) -> None:
    assert prompt_prefix(request_) is not None


@pytest.mark.parametrize("request_", [{}, {"messages": "no list"}, {"prompt": 7}])
def test_without_a_prompt_there_is_none(request_: dict[str, object]) -> None:
    assert prompt_prefix(request_) is None


@given(names=NAMES, key=st.binary(max_size=64))
def test_all_gateways_rank_alike_and_leave_nobody_out(names: set[str], key: bytes) -> None:
    rank = ranked(dict.fromkeys(sorted(names), 1), key)
    assert rank == ranked(dict.fromkeys(sorted(names, reverse=True), 1), key)
    assert set(rank) == names


@given(names=NAMES, gone=st.integers(0, 7), key=st.binary(max_size=64))
def test_one_that_goes_moves_only_what_was_its_own(names: set[str], gone: int, key: bytes) -> None:
    gone_name = sorted(names)[gone % len(names)]
    rank = ranked(dict.fromkeys(names, 1), key)
    rest = ranked(dict.fromkeys(names - {gone_name}, 1), key)
    assert rest == [name for name in rank if name != gone_name]


def test_one_more_takes_its_share_of_the_prompts_and_no_more() -> None:
    before = {key: ranked(dict.fromkeys("abcd", 1), key)[0] for key in KEYS}
    after = {key: ranked(dict.fromkeys("abcde", 1), key)[0] for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {"e"}
    assert 0.16 < len(moved) / len(KEYS) < 0.24


def test_prompts_are_spread_by_weight() -> None:
    chosen = Counter(ranked({"a": 1, "b": 3}, key)[0] for key in KEYS)
    assert 0.71 < chosen["b"] / len(KEYS) < 0.79


@given(
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    keys=st.lists(st.integers(0, 3), min_size=1, max_size=120),
)
def test_no_upstream_gets_more_than_its_bounded_share(weights: list[int], keys: list[int]) -> None:
    in_flight = Counter[str]()
    for done, key in enumerate(keys):
        states = [
            state(f"u{index}", weight=weight, in_flight=in_flight[f"u{index}"]) for index, weight in enumerate(weights)
        ]
        chosen = order(states, balancing=LoadBalancing.PREFIX_AFFINITY, key=bytes([key]))[0]
        in_flight[chosen] += 1
        most = 1.25 * (done + 1) * weights[int(chosen[1:])] / sum(weights)
        assert in_flight[chosen] < most + 1
