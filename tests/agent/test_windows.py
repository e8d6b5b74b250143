from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.windows import Windows


class Time:
    """Two clocks that run alike."""

    def __init__(self) -> None:
        self.steady_s = 50.0
        self.ahead_s = 1_700_000_000.0
        self.windows = Windows(
            steady=lambda: self.steady_s, wall_ns=lambda: round((self.steady_s + self.ahead_s) * 1e9)
        )


def test_a_window_that_ends_a_little_late_does_not_shift_the_next() -> None:
    time = Time()
    starts = []
    for _ in range(3):
        time.steady_s += time.windows.left_s(1.0) + 0.02
        window = time.windows.close(1.0)
        assert window.length_ms == 1000
        starts.append(window.start_unix_ms)
    assert starts == [1_700_000_050_000, 1_700_000_051_000, 1_700_000_052_000]


def test_one_that_ends_much_too_late_is_told_as_longer() -> None:
    time = Time()
    time.steady_s += 3.5
    assert time.windows.left_s(1.0) == 0
    assert time.windows.close(1.0).length_ms == 3500
    assert time.windows.left_s(1.0) == 1.0


def test_one_that_is_cut_short_is_told_as_shorter() -> None:
    time = Time()
    time.steady_s += 0.4
    assert time.windows.close(1.0).length_ms == 400


def test_a_wall_clock_that_is_set_moves_the_starts_and_not_the_lengths() -> None:
    time = Time()
    time.steady_s += 1.0
    time.ahead_s += 3600
    window = time.windows.close(1.0)
    assert (window.start_unix_ms, window.length_ms) == (1_700_003_650_000, 1000)


def test_the_interval_changes_live() -> None:
    time = Time()
    time.steady_s += 1.0
    time.windows.close(1.0)
    assert time.windows.left_s(5.0) == 5.0


@given(late=st.lists(st.floats(0, 3), min_size=1, max_size=50))
def test_lengths_add_up_to_the_time_that_passed(late: list[float]) -> None:
    time = Time()
    began_s, told_ms = time.steady_s, 0
    for late_s in late:
        time.steady_s += time.windows.left_s(1.0) + late_s
        told_ms += time.windows.close(1.0).length_ms
    assert abs(told_ms / 1000 - (time.steady_s - began_s)) <= 0.1 + 0.001 * len(late)
