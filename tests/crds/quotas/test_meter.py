"""The meter of a replica on its own, against a plain list of what was taken."""

from hypothesis import example, given
from hypothesis import strategies as st

from tokenflow_api.quotas.limits import Rate
from tokenflow_api.quotas.meter import BUCKET_US, MINUTE_US, Meter

rates = st.builds(
    lambda per_minute, burst: Rate(per_minute=per_minute, burst=min(burst, per_minute)),
    per_minute=st.integers(1, 5000),
    burst=st.integers(1, 5000),
)
asks = st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(1, 400)), max_size=60)


@given(rate=rates, asks=asks)
def test_no_minute_and_no_burst_is_exceeded(rate: Rate, asks: list[tuple[int, int]]) -> None:
    meter, now, taken = Meter(), 10 * MINUTE_US, []
    for passed, amount in asks:
        now += passed
        meter.advance(now, rate)
        if meter.room(rate) >= amount:
            meter.charge(now // BUCKET_US, amount)
            taken.append((now, amount))
    for end, _ in taken:
        within = sum(amount for at, amount in taken if end - MINUTE_US < at <= end)
        assert within <= rate.per_minute
    for index, (start, _) in enumerate(taken):
        total = 0
        for at, amount in taken[index:]:
            total += amount
            assert total <= rate.burst + (at - start) * rate.per_minute / MINUTE_US + 1e-6


@given(rate=rates, asks=asks)
def test_what_a_plain_list_has_room_for_is_admitted(rate: Rate, asks: list[tuple[int, int]]) -> None:
    meter, now, taken, level, at_us = Meter(), 10 * MINUTE_US, [], 0.0, 0
    for passed, amount in asks:
        now += passed
        meter.advance(now, rate)
        level = max(0.0, level - (now - at_us) * rate.per_minute / MINUTE_US)
        at_us = now
        # What was taken counts until a minute after the end of its quarter of a second.
        within = sum(one for at, one in taken if (at // BUCKET_US + 1) * BUCKET_US + MINUTE_US > now)
        assert meter.room(rate) == int(min(rate.per_minute - within, rate.burst - level) // 1)
        if meter.room(rate) >= amount:
            meter.charge(now // BUCKET_US, amount)
            taken.append((now, amount))
            level += amount


@example(rate=Rate(per_minute=1, burst=1), asks=[(0, 257), (926, 255)], amount=1)
@given(rate=rates, asks=asks, amount=st.integers(1, 5000))
def test_there_is_room_after_the_wait_and_not_before(rate: Rate, asks: list[tuple[int, int]], amount: int) -> None:
    amount = min(amount, rate.burst)
    meter, now = Meter(), 10 * MINUTE_US
    for passed, taken in asks:
        now += passed
        meter.advance(now, rate)
        meter.charge(now // BUCKET_US, taken)
    wait = meter.wait_us(rate, amount)
    assert (meter.room(rate) >= amount) == (wait == 0)
    if wait > 2:
        meter.advance(now + wait - 2, rate)
        assert meter.room(rate) < amount
    # The last microsecond is where the division is rounded.
    meter.advance(now + wait + 1, rate)
    assert meter.room(rate) >= amount


@given(rate=rates, reserved=st.integers(1, 5000), used=st.integers(0, 5000), held_s=st.integers(0, 120))
def test_what_is_returned_was_never_taken(rate: Rate, reserved: int, used: int, held_s: int) -> None:
    used = min(used, reserved)
    meter, start = Meter(), 10 * MINUTE_US
    meter.advance(start, rate)
    meter.charge(start // BUCKET_US, reserved)
    meter.advance(start + held_s * 1_000_000, rate)
    meter.refund(start // BUCKET_US, reserved - used)
    assert meter.total == (used if held_s <= 60 else 0)
    meter.refund(start // BUCKET_US, 10**6)
    assert meter.total == 0
    assert meter.room(rate) == min(rate.per_minute, rate.burst)


def test_a_sum_alone_is_spread_over_the_minute() -> None:
    meter, now, rate = Meter(), 10 * MINUTE_US, Rate(per_minute=100, burst=100)
    meter.spread(90, now_us=now)
    meter.advance(now, rate)
    assert meter.room(rate) == 10
    meter.advance(now + MINUTE_US // 2, rate)
    assert 54 <= meter.room(rate) <= 56
    meter.advance(now + MINUTE_US + BUCKET_US, rate)
    assert meter.room(rate) == 100
