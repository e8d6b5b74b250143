from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.pacer import CATCH_UP_S, Pacer


def test_the_first_token_is_due_at_once() -> None:
    assert Pacer().due(now=0.0) == 0.0


@given(
    rate=st.floats(0.5, 1000.0),
    batches=st.lists(st.tuples(st.integers(1, 16), st.floats(0.0, 0.3)), min_size=1, max_size=60),
)
def test_no_more_goes_out_than_the_rate_and_one_batch(rate: float, batches: list[tuple[int, float]]) -> None:
    pacer, now, sent, largest = Pacer(), 0.0, 0, 0
    for tokens, late in batches:
        now += pacer.due(now) + late
        pacer.sent(tokens, at=now, tokens_per_second=rate)
        sent, largest = sent + tokens, max(largest, tokens)
        assert sent <= rate * (now + CATCH_UP_S) + largest + 1e-6


@given(rate=st.floats(1.0, 1000.0))
def test_late_timers_do_not_add_up(rate: float) -> None:
    pacer, now = Pacer(), 0.0
    for _ in range(100):
        now += pacer.due(now) + 0.002
        pacer.sent(1, at=now, tokens_per_second=rate)
    assert now <= 99 / rate + 100 * 0.002 / (1 + CATCH_UP_S * rate) + 0.2 + CATCH_UP_S


def test_unpaced_tokens_are_always_due() -> None:
    pacer = Pacer()
    pacer.sent(1000, at=0.0, tokens_per_second=None)
    assert pacer.due(now=0.0) == 0.0
