"""A histogram's buckets."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from tokenflow_api.serving.buckets import Buckets

BOUNDS = (0.5, 1.0, 10.0)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 10.0]) | st.floats(0, 20)))
def test_values_fall_where_the_prometheus_client_puts_them(values: list[float]) -> None:
    registry = CollectorRegistry()
    model, buckets = Histogram("x", "X.", buckets=BOUNDS, registry=registry), Buckets(BOUNDS)
    for value in values:
        model.observe(value)
        buckets.add(value)
    assert buckets.cumulative() == [
        (bound, registry.get_sample_value("x_bucket", {"le": bound})) for bound in ("0.5", "1.0", "10.0", "+Inf")
    ]
    assert buckets.total == registry.get_sample_value("x_sum")


def test_merged_buckets_hold_the_values_of_both() -> None:
    one, other = Buckets(BOUNDS), Buckets(BOUNDS)
    one.add(0.7)
    other.add(20.0)
    one.merge(other)
    assert one.cumulative() == [("0.5", 0), ("1.0", 1), ("10.0", 1), ("+Inf", 2)]
    assert one.total == 20.7
