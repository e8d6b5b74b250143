from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.hintsvc.decide.support import LIMITS
from tokenflow_api.hints import Admission
from tokenflow_hintsvc.decide.admission import Pressure, admittance, pressed, saturation
from tokenflow_hintsvc.decide.samples import GpuSample

ADMIT, QUEUE, SHED = Admission.ADMIT, Admission.QUEUE, Admission.SHED


def gpu(utilization: float | None, *, memory: float | None = 0.5, throttled: bool = False) -> GpuSample:
    return GpuSample(utilization=utilization, memory=memory, temperature_celsius=60.0, throttled=throttled)


def after(seconds: int, level: float | None, *, before: Pressure | None = None, priorities: int = 3) -> Pressure:
    pressure = before or Pressure()
    start = pressure.since_ms
    for second in range(1, seconds + 1):
        pressure = pressed(pressure, saturation=level, priorities=priorities, now_ms=start + second * 1000)
    return pressure


def admissions(pressure: Pressure, ranks: int = 3) -> list[Admission]:
    return [admittance(pressure, rank=rank, ranks=ranks, most_tokens=1000).admission for rank in range(ranks)]


def test_gpus_below_their_thresholds_admit_all() -> None:
    assert admissions(after(60, 0.99)) == [ADMIT, ADMIT, ADMIT]


def test_saturation_holds_back_one_priority_more_every_few_seconds() -> None:
    assert admissions(after(4, 1.1)) == [ADMIT, ADMIT, ADMIT]
    assert admissions(after(5, 1.1)) == [QUEUE, ADMIT, ADMIT]
    assert admissions(after(9, 1.1)) == [SHED, QUEUE, ADMIT]
    assert admissions(after(60, 1.1)) == [SHED, SHED, QUEUE]


def test_the_only_priority_is_queued_and_never_shed() -> None:
    assert admissions(after(60, 1.2, priorities=1), ranks=1) == [QUEUE]


def test_steps_are_taken_back_one_by_one() -> None:
    pressed_hard = after(60, 1.1)
    assert after(4, 0.5, before=pressed_hard).depth == 3
    assert after(5, 0.5, before=pressed_hard).depth == 2
    assert after(30, 0.5, before=pressed_hard).depth == 0


def test_between_the_thresholds_nothing_changes() -> None:
    assert after(60, 0.97, before=after(9, 1.1)).depth == 2


def test_gpus_that_nobody_reports_any_more_press_nobody_for_ever() -> None:
    assert after(30, None, before=after(60, 1.1)).depth == 0


@given(levels=st.lists(st.floats(0.9, 1.1), min_size=4, max_size=80))
def test_a_saturation_that_wiggles_changes_the_depth_at_most_every_fourth_second(levels: list[float]) -> None:
    pressure, changes = Pressure(), []
    for second, level in enumerate(levels):
        following = pressed(pressure, saturation=level, priorities=3, now_ms=second * 1000)
        if following.depth != pressure.depth:
            changes.append(second)
        pressure = following
    assert all(later - sooner >= 4 for sooner, later in pairwise(changes))


def test_a_lower_priority_is_never_better_off() -> None:
    order = [ADMIT, QUEUE, SHED]
    for depth in range(5):
        found = admissions(Pressure(depth=depth), ranks=4)
        assert found == sorted(found, key=order.index, reverse=True)


def test_shorter_completions_are_suggested_the_harder_the_pressure() -> None:
    found = [
        admittance(Pressure(depth=depth), rank=9, ranks=10, most_tokens=1000).max_tokens_hint for depth in range(7)
    ]
    assert found == [None, 750, 563, 422, 317, 250, 250]


def test_who_is_shed_longest_comes_back_last() -> None:
    pressure = Pressure(depth=3)
    found = [admittance(pressure, rank=rank, ranks=4, most_tokens=1000).retry_after_ms for rank in range(4)]
    assert found == [10_000, 5_000, 1_000, 0]


def test_saturation_is_the_mean_over_all_gpus_that_tell() -> None:
    assert saturation([gpu(0.9, memory=0.1), gpu(0.45, memory=0.1), gpu(None, memory=None)], LIMITS) == 0.75
    assert saturation([gpu(None, memory=None)], LIMITS) is None


def test_heat_lowers_what_a_gpu_bears() -> None:
    assert saturation([gpu(0.81, throttled=True)], LIMITS) == 1.0
