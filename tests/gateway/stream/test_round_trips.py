"""What round trips took of late: the kernel's smoothing is undone."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.tcp_info import TcpInfo
from tokenflow_gateway.stream.round_trips import recent_rtt_us


def info(*, rtt_us: int, acked: int, segments: int, min_rtt_us: int = 50_000) -> TcpInfo:
    return TcpInfo(
        rtt_us=rtt_us,
        min_rtt_us=min_rtt_us,
        retransmits=0,
        acked_bytes=acked,
        received_segments=segments,
        queued_bytes=0,
        unsent_bytes=0,
    )


def after(before: TcpInfo, trips_us: Sequence[int], *, others: int = 0) -> TcpInfo:
    """Return what a kernel says after so many acknowledgements, and ``others`` that told of no round trip."""
    smoothed = float(before.rtt_us)
    for trip_us in trips_us:
        smoothed += (trip_us - smoothed) / 8
    return info(
        rtt_us=int(smoothed),
        acked=before.acked_bytes + 100 * len(trips_us),
        segments=before.received_segments + len(trips_us) + others,
    )


def test_a_queue_that_is_gone_is_gone_with_the_next_acknowledgement() -> None:
    before = info(rtt_us=4_000_000, acked=1000, segments=10)
    now = after(before, [90_000])
    assert now.rtt_us == 3_511_250
    assert recent_rtt_us(before, now, known_us=4e6) == pytest.approx(90_000, abs=10)


def test_a_queue_that_grows_shows_at_once() -> None:
    before = info(rtt_us=50_000, acked=1000, segments=10)
    assert recent_rtt_us(before, after(before, [850_000]), known_us=5e4) == pytest.approx(850_000, abs=10)


def test_what_is_known_holds_while_nothing_is_acknowledged() -> None:
    before = info(rtt_us=4_000_000, acked=1000, segments=10)
    assert recent_rtt_us(before, before, known_us=123.0) == 123.0


@given(
    smoothed=st.integers(50_000, 10_000_000),
    trips_us=st.lists(st.integers(50_000, 10_000_000), min_size=1, max_size=40),
    others=st.integers(0, 20),
)
def test_what_came_of_late_lies_between_the_shortest_and_the_longest(
    smoothed: int, trips_us: list[int], others: int
) -> None:
    before = info(rtt_us=smoothed, acked=1000, segments=10)
    recent = recent_rtt_us(before, after(before, trips_us, others=others), known_us=0.0)
    # Segments that told of no round trip leave some of what was known before.
    known = [*trips_us, smoothed] if others else trips_us
    assert min(known) - 10 <= recent <= max(known) + 10


def test_no_round_trip_is_below_the_least() -> None:
    before = info(rtt_us=4_000_000, acked=1000, segments=10)
    now = info(rtt_us=3_000_000, acked=1100, segments=11)
    assert recent_rtt_us(before, now, known_us=4e6) == 50_000.0
