from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.tcp.histogram import BUCKETS, bucket, merged, quantiles

DURATIONS = st.lists(st.integers(0, 60_000_000), min_size=1, max_size=50)
COUNTS = st.lists(st.integers(0, 2**31), min_size=BUCKETS, max_size=BUCKETS).map(tuple)


def counted(durations: list[int]) -> list[int]:
    buckets = [0] * BUCKETS
    for duration in durations:
        buckets[bucket(duration)] += 1
    return buckets


@given(durations=DURATIONS, share=st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_12_percent_of_its_sample(durations: list[int], share: float) -> None:
    exact = sorted(durations)[ceil(share * len(durations)) - 1]
    (estimate,) = quantiles(counted(durations), [share])
    assert estimate is not None
    assert abs(estimate - exact) <= 0.12 * exact


@given(durations=DURATIONS)
def test_quantiles_rise_with_their_share(durations: list[int]) -> None:
    half, most, nearly_all = quantiles(counted(durations), [0.5, 0.95, 0.99])
    assert half is not None
    assert most is not None
    assert nearly_all is not None
    assert half <= most <= nearly_all


@given(one=DURATIONS, other=DURATIONS)
def test_merging_is_counting_together(one: list[int], other: list[int]) -> None:
    assert list(merged([counted(one), counted(other)])) == counted(one + other)


@given(one=COUNTS, other=COUNTS, third=COUNTS)
def test_merging_has_no_order(one: tuple[int, ...], other: tuple[int, ...], third: tuple[int, ...]) -> None:
    assert merged([one, other]) == merged([other, one])
    assert merged([merged([one, other]), third]) == merged([one, other, third])


def test_longer_than_the_last_bucket_counts_there() -> None:
    assert bucket(2**40) == bucket(60_000_000) == BUCKETS - 1


def test_without_samples_there_is_no_quantile() -> None:
    assert quantiles([0] * BUCKETS, [0.5, 0.99]) == [None, None]
