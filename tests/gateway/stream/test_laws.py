from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import LIMITS
from tokenflow_api.hints import PathState
from tokenflow_gateway.stream.laws import (
    CATCH_UP_S,
    ENTER_LOOKS,
    GRACE_LOOKS,
    LEAVE_LOOKS,
    MOST_PATIENCE,
    SocketLaw,
    SocketLook,
    batch_size,
    gain,
    next_due,
    socket_rate,
)

LOOK_S = 0.25
BYTES = 60.0


def look(*, delivered: float = 1000.0, unsent: float = 0.0, size: float = BYTES) -> SocketLook:
    return SocketLook(delivered=delivered, backlog_bytes=unsent, bytes_per_token=size)


def after(law: SocketLaw, *looks: SocketLook) -> SocketLaw:
    for one in looks:
        law = law.next(one, LIMITS)
    return law


def link(
    capacity: float, *, seconds: float, backlog: float = 0.0, offered: float = 80.0
) -> tuple[list[float], list[float]]:
    """Run the law over a link that carries ``capacity`` tokens/s, measured over a second as the meter does.

    Returns:
        Backlog in seconds of the link, and rate in tokens per second, at each look.
    """
    law, ages, rates, sent = SocketLaw(), list[float](), list[float](), list[float]()
    for _ in range(round(seconds / LOOK_S)):
        rate = min(offered, LIMITS.most if law.rate is None else law.rate)
        carried = min(capacity * LOOK_S, backlog + rate * LOOK_S)
        backlog += rate * LOOK_S - carried
        sent = [*sent[-3:], carried]
        delivered = sum(sent) / len(sent) / LOOK_S * BYTES
        law = law.next(look(delivered=delivered, unsent=backlog * BYTES), LIMITS)
        ages.append(backlog / capacity)
        rates.append(rate)
    return ages, rates


def test_a_connection_that_delivers_is_not_held_back() -> None:
    law = after(SocketLaw(), *[look()] * 100)
    assert (law.state, law.rate) == (PathState.CLEAR, None)


def test_an_idle_connection_is_not_held_back() -> None:
    assert after(SocketLaw(), *[look(delivered=0.0)] * 100).rate is None


def test_one_old_backlog_is_no_congestion_but_two_in_a_row_are() -> None:
    old = look(unsent=2000)
    assert after(SocketLaw(), *[old, look()] * 10).rate is None
    assert after(SocketLaw(), *[old] * ENTER_LOOKS).congested


def test_it_is_clear_again_after_the_backlog_was_gone_for_long_enough() -> None:
    law = after(SocketLaw(), *[look(unsent=2000)] * ENTER_LOOKS)
    assert after(law, *[look()] * (LEAVE_LOOKS - 1)).congested
    assert after(law, *[look()] * LEAVE_LOOKS) == SocketLaw(rested=0, batching=1.0)


def test_batches_shrink_step_by_step_once_it_is_clear() -> None:
    law = after(SocketLaw(), *[look(unsent=2000)] * ENTER_LOOKS, *[look()] * LEAVE_LOOKS)
    shares = []
    for _ in range(32):
        law = law.next(look(), LIMITS)
        shares.append(law.batching)
    assert shares == [1.0] * 7 + [0.5] * 8 + [0.25] * 8 + [0.0] * 9


def test_what_did_not_last_is_tried_again_ever_later() -> None:
    law = SocketLaw()
    patience = []
    for _ in range(8):
        law = after(law, *[look(unsent=2000)] * ENTER_LOOKS)
        patience.append(law.patience)
        law = after(law, *[look()] * law.patience)
        assert not law.congested
    assert patience == [4, 8, 16, 32, 64, 128, 256, MOST_PATIENCE]
    law = after(law, *[look()] * 100, *[look(unsent=2000)] * ENTER_LOOKS)
    assert law.patience == LEAVE_LOOKS


@given(
    delivered=st.floats(0.0, 1e9),
    unsent=st.floats(0.0, 1e9),
    size=st.floats(0.0, 1e6),
)
def test_the_rate_keeps_to_the_policys_bounds(delivered: float, unsent: float, size: float) -> None:
    rate = socket_rate(look(delivered=delivered, unsent=unsent, size=size), LIMITS)
    assert LIMITS.least <= rate <= LIMITS.most


@given(
    delivered=st.floats(10.0, 1e5), shorter=st.floats(0.0, 1e5), longer=st.floats(0.0, 1e5), size=st.floats(10.0, 500.0)
)
def test_a_longer_backlog_never_speeds_a_stream_up(
    delivered: float, shorter: float, longer: float, size: float
) -> None:
    shorter, longer = sorted((shorter, longer))
    fast, slow = (look(delivered=delivered, unsent=unsent, size=size) for unsent in (shorter, longer))
    assert socket_rate(slow, LIMITS) <= socket_rate(fast, LIMITS)


def test_at_the_target_the_rate_is_what_is_delivered() -> None:
    # 1200 bytes per second are 20 tokens of 60 bytes; 600 bytes wait, which is the target of half a second.
    assert socket_rate(look(delivered=1200, unsent=600), LIMITS) == pytest.approx(20.0)


@given(target_s=st.floats(0.1, 10.0))
def test_the_gain_never_makes_the_loop_swing(target_s: float) -> None:
    assert gain(target_s) * 0.75 / target_s <= 1 / 2.718281828
    assert gain(target_s) <= 0.5


def test_batches_come_with_the_first_backlog_to_speak_of_and_before_a_lower_rate() -> None:
    # 200 of 1000 bytes per second are 0.2 s, more than a quarter of the target.
    law = after(SocketLaw(), *[look(unsent=200)] * ENTER_LOOKS)
    assert (law.batching, law.rate, law.congested) == (1.0, None, False)
    assert after(SocketLaw(), look(unsent=600)).batching == 1.0
    assert after(SocketLaw(), look(unsent=200), look()).batching == 0.0


def test_the_rate_falls_only_where_batches_did_not_help_in_time() -> None:
    law = after(SocketLaw(), *[look(unsent=1000)] * (ENTER_LOOKS + GRACE_LOOKS - 1))
    assert (law.congested, law.rate) == (True, None)
    assert after(law, look(unsent=1200)).rate is not None


@given(ages=st.lists(st.floats(0.9, 0.99), min_size=100, max_size=100))
def test_a_backlog_that_batches_keep_from_growing_lowers_no_rate(ages: list[float]) -> None:
    law = after(SocketLaw(), *[look(unsent=age * 1000) for age in ages])
    assert (law.congested, law.batching, law.rate) == (True, 1.0, None)


def test_a_look_that_changes_nothing_makes_no_new_law() -> None:
    law = SocketLaw()
    assert law.next(look(), LIMITS) is law


def test_a_backlog_of_many_targets_lowers_the_rate_at_once() -> None:
    assert after(SocketLaw(), *[look(unsent=4000)] * ENTER_LOOKS).rate is not None


def test_an_outage_lowers_no_rate() -> None:
    law = after(SocketLaw(), *[look(delivered=0.0, unsent=4000)] * 20)
    assert (law.congested, law.batching, law.rate) == (True, 1.0, None)


def test_a_path_that_loses_packets_is_batched_a_little_and_not_slowed_down() -> None:
    law = after(SocketLaw(), *[replace(look(), loss=0.03)] * 100)
    assert (law.batching, law.rate) == (0.4, None)
    assert after(SocketLaw(), *[replace(look(), loss=0.01)] * 100).batching == 0.0


@given(capacity=st.floats(6.0, 60.0))
def test_on_a_thin_link_the_backlog_settles_at_the_target_and_nothing_is_left_unused(capacity: float) -> None:
    ages, rates = link(capacity, seconds=60.0)
    late = ages[-80:]
    assert max(late) < 2 * LIMITS.target_s
    assert sum(rates[-80:]) / 80 == pytest.approx(capacity, rel=0.1)


@given(rate=st.floats(0.0, 1e6), delay_s=st.floats(0.0, 5.0), most=st.integers(1, 256))
def test_a_batch_is_what_comes_within_the_delay(rate: float, delay_s: float, most: int) -> None:
    size = batch_size(rate, delay_s=delay_s, most=most)
    assert 1 <= size <= most
    assert size >= min(most, rate * delay_s)
    assert size < rate * delay_s + 1 or size == 1


@given(
    rate=st.floats(0.5, 1000.0),
    batches=st.lists(st.tuples(st.integers(1, 16), st.floats(0.0, 0.3)), min_size=1, max_size=60),
)
def test_no_more_goes_out_than_the_rate_and_one_batch(rate: float, batches: list[tuple[int, float]]) -> None:
    due, now, sent, largest = float("-inf"), 0.0, 0, 0
    for tokens, late in batches:
        now = max(now, due) + late
        due = next_due(due, tokens=tokens, at=now, tokens_per_second=rate)
        sent, largest = sent + tokens, max(largest, tokens)
        assert sent <= rate * (now + CATCH_UP_S) + largest + 1e-6


@given(rate=st.floats(1.0, 1000.0))
def test_late_timers_do_not_add_up(rate: float) -> None:
    due, now = 0.0, 0.0
    for _ in range(100):
        now = max(now, due) + 0.002
        due = next_due(due, tokens=1, at=now, tokens_per_second=rate)
    assert now <= 100 / rate + 100 * 0.002 / (1 + CATCH_UP_S * rate) + 0.2 + CATCH_UP_S
