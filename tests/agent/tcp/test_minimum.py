from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.tcp.minimum import SlidingMinimum

WINDOWS = st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(0, 100)), min_size=1, max_size=40)


@given(windows=WINDOWS)
def test_it_is_the_least_of_the_last_ten_windows_of_a_second(windows: list[dict[str, int]]) -> None:
    sliding = SlidingMinimum[str](span_s=10.0)
    for now, window in enumerate(windows):
        sliding.add(window, now_s=float(now))
        recent = [values["a"] for values in windows[max(0, now - 9) : now + 1] if "a" in values]
        assert sliding.least("a") == (min(recent) if recent else None)


def test_one_long_window_counts_by_itself() -> None:
    sliding = SlidingMinimum[str](span_s=10.0)
    sliding.add({"a": 1}, now_s=0.0)
    sliding.add({"a": 5}, now_s=60.0)
    assert sliding.least("a") == 5


def test_what_is_kept_is_bounded() -> None:
    sliding = SlidingMinimum[str](span_s=10.0)
    for number in range(1000):
        sliding.add({"a": number}, now_s=number / 1000)
    assert sliding.least("a") == 936
