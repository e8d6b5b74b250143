from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import LIMITS, ROUTE, Clock, hint, idle
from tokenflow_api.hints import PathState, Source
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.windows import OTHER_CLASS
from tokenflow_gateway.stream.bounds import UNPACED, Bound
from tokenflow_gateway.stream.guide import Guide, Told, pace
from tokenflow_gateway.stream.laws import SocketLaw
from tokenflow_gateway.stream.limits import limits
from tokenflow_gateway.stream.relief import SPAN_S, Load

CLEAR = SocketLaw()


def congested(rate: float) -> SocketLaw:
    return SocketLaw(state=PathState.CONGESTED, batching=1.0, rate=rate)


@pytest.mark.parametrize(
    ("told", "law", "rate", "bound"),
    [
        (hint(40.0), CLEAR, 40.0, Bound.HINT),
        (hint(40.0), congested(10.0), 10.0, Bound.SOCKET),
        (hint(10.0), congested(40.0), 10.0, Bound.HINT),
        (replace(hint(40.0), quota=8.0), CLEAR, 8.0, Bound.QUOTA),
        (replace(hint(40.0), quota=8.0), congested(6.0), 6.0, Bound.SOCKET),
        (Told(), CLEAR, 20.0, Bound.FALLBACK),
        (Told(), congested(10.0), 10.0, Bound.SOCKET),
        (replace(hint(20.0), lost=True), CLEAR, 80.0, Bound.NONE),
        (replace(hint(20.0), lost=True), congested(30.0), 30.0, Bound.SOCKET),
    ],
)
def test_the_least_bound_acts(told: Told, law: SocketLaw, rate: float, bound: Bound) -> None:
    acting = pace(LIMITS, told, law)
    assert (acting.tokens_per_second, acting.bound) == (rate, bound)


@given(
    rate=st.floats(5.0, 80.0),
    own=st.none() | st.floats(5.0, 80.0),
    quota=st.none() | st.floats(0.0, 80.0),
)
def test_no_bound_is_ever_exceeded_and_no_stream_stops(rate: float, own: float | None, quota: float | None) -> None:
    law = CLEAR if own is None else congested(own)
    acting = pace(LIMITS, replace(hint(rate), quota=quota), law).tokens_per_second
    assert acting is not None
    assert acting >= LIMITS.least
    assert acting <= min(rate, own or rate, rate if quota is None else max(quota, LIMITS.least))


def test_a_policy_that_does_not_enforce_paces_nobody() -> None:
    off = replace(LIMITS, enforce=False)
    assert pace(off, hint(5.0, batch=16, delay_ms=250), congested(5.0), held_back=True) is UNPACED


def test_batches_are_the_hints_while_the_connection_is_clear() -> None:
    acting = pace(LIMITS, hint(20.0, batch=5, delay_ms=100), CLEAR)
    assert (acting.batch_size, acting.batch_delay_s) == (5, 0.1)


def test_a_congested_connection_batches_what_comes_within_the_delay() -> None:
    acting = pace(LIMITS, hint(80.0), congested(18.0))
    assert (acting.batch_size, acting.batch_delay_s, acting.state) == (5, 0.25, PathState.CONGESTED)


def test_a_connection_only_guards_where_a_live_hint_steers_the_path() -> None:
    clear = hint(20.0)
    assert clear.hint is not None
    steered = Told(hint=clear.hint.model_copy(update={"state": PathState.CONGESTED}))
    stale = Told(hint=clear.hint.model_copy(update={"state": PathState.CONGESTED, "source": Source.FALLBACK}))
    told = {"steered": steered, "clear": clear, "stale": stale, "lost": replace(steered, lost=True), "none": Told()}
    guide = Guide(limits=lambda: LIMITS, told=lambda route: told[route.tenant], clock=Clock(), load=idle(Clock()))
    targets = {name: guide.socket_limits(replace(ROUTE, tenant=name)).target_s for name in told}
    assert targets == {"steered": 1.5, "clear": 0.5, "stale": 0.5, "lost": 0.5, "none": 0.5}


def test_a_new_stream_is_batched_where_others_on_its_path_wanted_it() -> None:
    clock = Clock()
    guide = Guide(limits=lambda: LIMITS, told=lambda _: hint(20.0), clock=clock, load=idle(clock))
    guide.strained(ROUTE, 1.0)
    acting = guide.pace(ROUTE, CLEAR)
    assert (acting.batch_size, acting.batch_delay_s, acting.tokens_per_second) == (5, 0.25, 20.0)
    assert guide.pace(replace(ROUTE, tenant="other"), CLEAR).batch_size == 5
    assert guide.pace(replace(ROUTE, destination_class="198.51.100.0/24"), CLEAR).batch_size == 1
    clock.run(10.1)
    assert guide.pace(ROUTE, CLEAR).batch_size == 1


def test_readers_of_unknown_networks_share_no_path() -> None:
    clock = Clock()
    guide = Guide(limits=lambda: LIMITS, told=lambda _: hint(20.0), clock=clock, load=idle(clock))
    unknown = replace(ROUTE, destination_class=OTHER_CLASS)
    guide.strained(unknown, 1.0)
    assert guide.pace(unknown, CLEAR).batch_size == 1


def test_a_connection_that_just_took_no_more_is_batched_as_far_as_the_policy_allows() -> None:
    acting = pace(LIMITS, hint(80.0), CLEAR, held_back=True)
    assert (acting.batch_size, acting.batch_delay_s, acting.tokens_per_second) == (16, 0.25, 80.0)


def test_hints_are_read_once_for_all_streams_of_a_route_and_soon_again() -> None:
    clock, reads = Clock(), list[str]()

    def told(_: object) -> Told:
        reads.append("read")
        return hint(float(len(reads) * 10))

    guide = Guide(limits=lambda: LIMITS, told=told, clock=clock, load=idle(clock))
    assert [guide.pace(ROUTE, CLEAR).tokens_per_second for _ in range(3)] == [10.0, 10.0, 10.0]
    clock.run(0.3)
    assert guide.pace(ROUTE, CLEAR).tokens_per_second == 20.0


def test_the_policys_numbers_in_the_laws_units() -> None:
    spec = PacingPolicySpec.model_validate(
        {
            "mode": "Shadow",
            "tenants": [{"name": "gold"}],
            "gateway": {"upstreams": [{"name": "llama", "url": "http://llama"}]},
            "pacing": {"targetBacklog": "400ms", "maxBatchDelay": "100ms"},
        }
    )
    taken = limits(spec)
    assert (taken.enforce, taken.target_s, taken.batch_delay_s) == (False, 0.4, 0.1)
    assert (taken.least, taken.fallback, taken.most, taken.batch_size) == (5.0, 20.0, 80.0, 16)


def test_a_gateway_with_much_to_do_batches_clear_streams_too_and_slows_none() -> None:
    clock, used = Clock(), [0.0]
    guide = Guide(
        limits=lambda: LIMITS,
        told=lambda _: hint(20.0),
        clock=clock,
        load=Load(clock=clock, cpu=lambda: used[0]),
    )
    assert guide.pace(ROUTE, CLEAR).batch_size == 1
    for _ in range(8):
        clock.now += SPAN_S
        used[0] += 0.9 * SPAN_S
        acting = guide.pace(ROUTE, CLEAR)
    assert (acting.tokens_per_second, acting.bound) == (20.0, Bound.HINT)
    assert acting.batch_delay_s == LIMITS.batch_delay_s
    assert acting.batch_size > 1
