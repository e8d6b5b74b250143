"""When a batch was built."""

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import GpuSamples, StreamWindows
from tokenflow_hintsvc.ingest.clock import Timing, corrected, timing

NOW = 10_000_000
STALE = 5000


def batch(*, sent: int, offset: int = 0, error: int | None = 3) -> TelemetryBatch:
    return TelemetryBatch(
        reporter=Reporter.AGENT,
        node="n1",
        boot_id="b",
        sequence=1,
        sent_at_unix_ms=sent,
        clock_offset_ms=offset,
        clock_error_ms=error,
    )


def timed(**words: int | None) -> Timing:
    return timing(batch(**words), received_unix_ms=NOW, stale_after_ms=STALE)  # type: ignore[arg-type]  # one dict


def test_a_bounded_clock_is_corrected_however_far_it_is_off() -> None:
    assert timed(sent=NOW - 3_600_000, offset=3_599_900) == Timing(at_unix_ms=NOW - 100, bounded=True, current=True)


def test_what_waited_through_an_outage_does_not_speak_for_now() -> None:
    assert timed(sent=NOW - 60_000) == Timing(at_unix_ms=NOW - 60_000, bounded=True, current=False)


def test_an_unbounded_clock_is_not_trusted() -> None:
    assert timed(sent=NOW - 200, error=None) == Timing(at_unix_ms=NOW, bounded=False, current=True)
    assert timed(sent=NOW - 60_000, error=None) == Timing(at_unix_ms=NOW, bounded=False, current=False)
    assert timed(sent=NOW + 60_000, error=None) == Timing(at_unix_ms=NOW, bounded=False, current=False)


def test_a_bound_wider_than_what_is_stale_bounds_nothing() -> None:
    assert timed(sent=NOW - 200, error=STALE + 1) == Timing(at_unix_ms=NOW, bounded=False, current=True)


def test_a_bound_that_the_arrival_proves_wrong_bounds_nothing() -> None:
    assert timed(sent=NOW + 10_000, error=3) == Timing(at_unix_ms=NOW, bounded=False, current=False)


@given(
    age=st.integers(0, 100_000),
    skew=st.integers(-(10**9), 10**9),
    miss=st.integers(-100, 100),
)
def test_the_time_of_a_bounded_batch_is_right_within_its_error(age: int, skew: int, miss: int) -> None:
    """Whatever the sender's clock says: ``skew`` is how far it is off, ``miss`` how wrong its estimate of that."""
    sent = batch(sent=10**10 - age + skew, offset=-skew + miss, error=abs(miss))
    known = timing(sent, received_unix_ms=10**10, stale_after_ms=STALE)
    assert known.bounded
    assert abs(known.at_unix_ms - (10**10 - age)) <= abs(miss)
    assert known.current or age > STALE


def test_all_times_of_a_batch_are_corrected() -> None:
    streams = StreamWindows.model_validate(
        {name: [0] for name in StreamWindows.model_fields}
        | {"start_unix_ms": [500], "destination_class": [""], "pod_namespace": [""], "pod_name": [""]}
        | {"tenant": ["gold"], "upstream": ["llama"]}
    )
    sent = batch(sent=1500).model_copy(update={"streams": streams})
    moved = corrected(sent, at_unix_ms=2500, bounded=True)
    assert (moved.sent_at_unix_ms, moved.clock_offset_ms, moved.clock_error_ms) == (2500, 0, 3)
    assert moved.streams.start_unix_ms == [1500]
    assert moved.tcp == sent.tcp
    assert moved.gpu == GpuSamples()


def test_what_is_not_bounded_is_marked() -> None:
    assert corrected(batch(sent=1500), at_unix_ms=2500, bounded=False).clock_error_ms is None
