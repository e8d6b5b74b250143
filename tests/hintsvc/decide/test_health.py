from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.hintsvc.decide.support import LIMITS, path
from tokenflow_hintsvc.decide.health import Health, judge
from tokenflow_hintsvc.decide.samples import GpuSample, NodeKey, NodeSample
from tokenflow_hintsvc.decide.terms import Reading, gpu_readings, inflation, node_readings, path_readings

SIGNALS = ("RTTInflation", "Retransmits", "Backlog", "HTTPLatency", "HTTPErrors", "GPUUtilization")

values = st.none() | st.floats(0.0, 1e4)
rounds = st.lists(values, min_size=len(SIGNALS), max_size=len(SIGNALS))
histories = st.lists(rounds, min_size=1, max_size=12)


def readings(row: list[float | None]) -> list[Reading]:
    return [
        Reading(signal=signal, value=value, threshold=0.8, scale=0.4)
        for signal, value in zip(SIGNALS, row, strict=True)
    ]


def after(history: list[list[float | None]]) -> Health:
    health = Health()
    for row in history:
        health = judge(health, readings(row))
    return health


@given(history=histories)
def test_health_lies_between_zero_and_one(history: list[list[float | None]]) -> None:
    health = after(history)
    assert 0.0 <= health.score <= 1.0
    assert 0.0 <= health.uncertainty <= 1.0


@given(
    history=histories,
    at=st.integers(0, 11),
    signal=st.integers(0, len(SIGNALS) - 1),
    more=st.floats(0.0, 1e4),
)
def test_health_never_rises_when_any_signal_was_worse(
    history: list[list[float | None]], at: int, signal: int, more: float
) -> None:
    worse = [list(row) for row in history]
    row = worse[at % len(worse)]
    if row[signal] is not None:
        row[signal] += more
    assert after(worse).score <= after(history).score
    assert set(after(history).reasons) <= set(after(worse).reasons)


@given(history=histories, row=rounds, signal=st.integers(0, len(SIGNALS) - 1))
def test_a_signal_that_goes_missing_never_improves_health(
    history: list[list[float | None]], row: list[float | None], signal: int
) -> None:
    before = after(history)
    missing = [None if at == signal else value for at, value in enumerate(row)]
    name = SIGNALS[signal]
    went = after([*history, missing])
    assert went.signals[name].factor == before.signals[name].factor
    assert went.uncertainty >= after([*history, row]).uncertainty
    assert after([*history, [None] * len(SIGNALS)]).score == before.score


def test_a_signal_that_nobody_ever_measured_is_in_doubt() -> None:
    health = after([[0.1, None, None, 0.1, 0.1, 0.1]])
    assert health.score == 1.0
    assert health.uncertainty == 2 / 6


@given(wiggles=st.lists(st.floats(0.75, 0.85), min_size=1, max_size=60))
def test_a_signal_that_wiggles_around_its_threshold_does_not_flap(wiggles: list[float]) -> None:
    health, acting = Health(), []
    for value in wiggles:
        health = judge(health, readings([value] + [None] * 5))
        acting.append("RTTInflation" in health.reasons)
    # Within a tenth of the threshold nothing speaks for taking the word back.
    assert sum(one != other for one, other in pairwise(acting)) <= 1


@given(values=st.lists(st.floats(0.0, 2.0), min_size=5, max_size=60))
def test_a_state_changes_at_most_once_in_two_windows_and_back_in_five(values: list[float]) -> None:
    health, acting = Health(), []
    for value in values:
        health = judge(health, readings([value] + [None] * 5))
        acting.append("RTTInflation" in health.reasons)
    for at in range(len(acting) - 4):
        changes = sum(one != other for one, other in pairwise(acting[at : at + 5]))
        assert changes <= 2


def test_twice_the_threshold_halves_health_in_the_end() -> None:
    sample = path(1, rtt_s=None, loss=0.04)
    health = Health()
    for _ in range(20):
        health = judge(health, path_readings(sample, baseline_us=None, limits=LIMITS))
    assert round(health.score, 3) == 0.5
    assert [(term.signal, term.value, term.threshold) for term in health.terms() if term.factor < 1] == [
        ("Retransmits", 0.04, 0.02)
    ]


def test_a_path_within_its_thresholds_is_well() -> None:
    sample = path(1, rtt_s=0.1, loss=0.02, errors=0.05)
    assert judge(Health(), path_readings(sample, baseline_us=100_000.0, limits=LIMITS)).score == 1.0


def test_a_jump_on_a_very_short_path_is_noise() -> None:
    assert (inflation(rtt_us=300, baseline_us=100) or 0.0) < 1.25


ratios = st.none() | st.floats(0.0, 1.0)
PATH_FIELDS = ("rtt_us", "retransmit_ratio", "backlog_ratio", "http_p99_us", "http_error_ratio")
GPU_FIELDS = ("utilization", "memory", "temperature_celsius")


@given(
    measured=st.tuples(st.none() | st.floats(0.0, 1e8), ratios, ratios, st.none() | st.floats(0.0, 1e8), ratios),
    field=st.integers(0, 4),
    more=st.floats(0.0, 1e8),
)
def test_the_health_of_a_path_never_rises_with_any_of_its_signals(
    measured: tuple[float | None, ...], field: int, more: float
) -> None:
    def score(values: tuple[float | None, ...]) -> float:
        sample = replace(path(1), **dict(zip(PATH_FIELDS, values, strict=True)))
        return judge(Health(), path_readings(sample, baseline_us=1000.0, limits=LIMITS)).score

    worse = tuple(value + more if at == field and value is not None else value for at, value in enumerate(measured))
    assert score(worse) <= score(measured)


@given(
    measured=st.tuples(ratios, ratios, st.none() | st.floats(0.0, 200.0)),
    field=st.integers(0, 2),
    more=st.floats(0.0, 100.0),
    others=st.lists(st.floats(0.0, 1.0), max_size=3),
)
def test_the_health_of_gpus_never_rises_with_any_of_their_signals(
    measured: tuple[float | None, ...], field: int, more: float, others: list[float]
) -> None:
    def score(values: tuple[float | None, ...], *, throttled: bool) -> float:
        one = gpu(**dict(zip(GPU_FIELDS, values, strict=True)), throttled=throttled)
        gpus = [one, *(gpu(utilization=other) for other in others)]
        return judge(Health(), gpu_readings(gpus, limits=LIMITS)).score

    worse = tuple(value + more if at == field and value is not None else value for at, value in enumerate(measured))
    assert score(worse, throttled=False) <= score(measured, throttled=False)
    assert score(measured, throttled=True) < score(measured, throttled=False)


def gpu(**state: float | bool | None) -> GpuSample:
    known: dict[str, float | bool | None] = {
        "utilization": 0.5,
        "memory": 0.5,
        "temperature_celsius": 60.0,
        "throttled": False,
    }
    return GpuSample(**(known | state))  # type: ignore[arg-type]


def test_the_worst_gpu_counts() -> None:
    well, full, hot = gpu(), gpu(utilization=1.0, memory=1.0), gpu(temperature_celsius=100.0, throttled=True)
    health = judge(Health(), gpu_readings([well, full, hot], limits=LIMITS))
    factors = {term.signal: round(term.factor, 3) for term in health.terms()}
    assert factors == {"GPUUtilization": 0.75, "GPUMemory": 0.75, "GPUTemperature": 0.75, "GPUThrottling": 0.875}


def test_a_node_without_a_gpu_is_not_in_doubt_about_one() -> None:
    sample = NodeSample(
        key=NodeKey("default/nodes", "node-1"),
        at_ms=1000,
        rtt_us=1000.0,
        rtt_min_us=1000.0,
        retransmit_ratio=0.0,
        backlog_ratio=0.0,
        http_p99_us=None,
        http_error_ratio=None,
        gpus=(),
    )
    health = judge(Health(), node_readings(sample, limits=LIMITS))
    assert (health.score, health.uncertainty) == (1.0, 2 / 5)
