from hypothesis import given
from hypothesis import strategies as st

from tests.hintsvc.decide.support import LIMITS
from tokenflow_hintsvc.decide import batch
from tokenflow_hintsvc.decide.batch import Batching, batch_size


def shares(windows: str) -> list[float]:
    """Return how far streams are batched after each window, ``c`` being a congested and ``.`` a clear one."""
    batching, found = Batching(), []
    for window in windows:
        batching = batch.congested(batching) if window == "c" else batch.clear(batching)
        found.append(batching.share)
    return found


def test_a_congested_path_is_batched_at_once() -> None:
    assert shares("c") == [1.0]


def test_batches_shrink_step_by_step() -> None:
    assert shares("c" + 24 * ".")[::8] == [1.0, 0.5, 0.25, 0.0]


def test_they_shrink_later_where_that_brought_the_queue_back() -> None:
    assert shares("c" + 8 * "." + "c" + 15 * ".")[-1] == 1.0
    assert shares("c" + 8 * "." + "c" + 16 * ".")[-1] == 0.5


def test_the_rate_waits_for_batches_that_are_new_alone() -> None:
    first = batch.congested(Batching())
    assert first.grace == 2
    again = first
    for _ in range(8):
        again = batch.clear(again)
    assert again.share == 0.5
    assert batch.congested(again).grace == 0


def test_a_path_that_was_long_clear_is_congested_anew() -> None:
    assert shares("c" + 8 * "." + "c" + 80 * "." + "c" + 8 * ".")[-1] == 0.5


@given(rate=st.floats(0.1, 1000.0), delay_s=st.floats(0.0, 5.0))
def test_batches_stay_within_the_policy(rate: float, delay_s: float) -> None:
    assert batch_size(rate, delay_s=0.0, limits=LIMITS) == 1
    assert 1 <= batch_size(rate, delay_s=delay_s, limits=LIMITS) <= 16


def test_a_slow_stream_is_batched_as_far_as_a_second_bears() -> None:
    assert [batch_size(rate, delay_s=0.125, limits=LIMITS) for rate in (5.0, 8.0, 20.0, 80.0)] == [5, 8, 10, 10]
