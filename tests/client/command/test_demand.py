"""The requests of a load generator: what a seed decides, and how they are spread."""

import itertools
import random
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_client._command.demand import Demand, lengths, prompt

DEMAND = Demand(
    rate=50.0,
    duration_s=100.0,
    variation=1.0,
    tenants=3,
    prompt=lengths("64-512"),
    output=lengths("lognormal:200:0.8"),
    seed=7,
)


def gaps(demand: Demand) -> list[float]:
    times = [request.at_s for request in demand.requests()]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize("variation", [0.2, 1.0, 3.0])
def test_arrivals_have_the_rate_and_the_variation_that_were_asked_for(variation: float) -> None:
    found = gaps(replace(DEMAND, variation=variation, duration_s=400.0))
    assert fmean(found) == pytest.approx(1 / 50, rel=0.1)
    assert stdev(found) / fmean(found) == pytest.approx(variation, rel=0.15)


def test_equal_seeds_make_equal_requests_and_others_make_others() -> None:
    requests = DEMAND.requests()
    assert requests == DEMAND.requests()
    assert requests != replace(DEMAND, seed=8).requests()
    assert prompt(requests[0]) == prompt(DEMAND.requests()[0])
    assert prompt(requests[0]) != prompt(requests[1])


def test_longer_prompts_move_no_arrival() -> None:
    longer = replace(DEMAND, prompt=lengths("2000"))
    assert [request.at_s for request in longer.requests()] == [request.at_s for request in DEMAND.requests()]


def test_requests_are_within_what_was_asked_for() -> None:
    requests = DEMAND.requests()
    assert all(0 <= request.at_s < 100.0 for request in requests)
    assert {request.tenant for request in requests} == {0, 1, 2}
    assert all(64 <= request.prompt_tokens <= 512 for request in requests)
    assert all(len(prompt(request).split()) == request.prompt_tokens for request in requests[:20])
    assert sorted(request.output_tokens for request in requests)[len(requests) // 2] == pytest.approx(200, rel=0.1)


@given(low=st.integers(0, 2_000_000), high=st.integers(0, 2_000_000), seed=st.integers())
def test_every_length_is_one_that_can_be_asked_for(low: int, high: int, seed: int) -> None:
    draw = lengths(f"{min(low, high)}-{max(low, high)}")
    chance = random.Random(seed)  # noqa: S311 - load, not secrets
    assert 1 <= draw(chance) <= 1_000_000


@pytest.mark.parametrize("text", ["", "many", "9-3", "-5", "lognormal:200", "normal:1:2", "1.5"])
def test_a_length_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write 256, 64-512 or lognormal"):
        lengths(text)
