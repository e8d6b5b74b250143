from hypothesis import given
from hypothesis import strategies as st

from tests.agent.tcp.readings import reading
from tokenflow_agent.tcp.merging import merged
from tokenflow_agent.tcp.reading import Reading

READINGS = st.builds(
    reading,
    number=st.integers(0, 5),
    segments=st.integers(0, 1000),
    rtt_us=st.integers(1, 10_000_000),
    retransmits=st.integers(0, 100),
)


def figures(one: Reading) -> tuple[object, ...]:
    """Return everything but the names."""
    return one._replace(remote=b"", rtt_buckets=tuple(one.rtt_buckets or ()))


@given(one=READINGS, other=READINGS, third=READINGS)
def test_merging_has_no_order(one: Reading, other: Reading, third: Reading) -> None:
    assert figures(merged([one, other])) == figures(merged([other, one]))
    assert figures(merged([merged([one, other]), third])) == figures(merged([one, other, third]))


@given(one=READINGS)
def test_what_saw_nothing_changes_nothing_but_the_gauges(one: Reading) -> None:
    nothing = reading(segments=0, retransmits=0)._replace(
        out_of_order=0, resets=0, zero_windows=0, connections=0, congested_connections=0, unread_bytes=0
    )
    assert figures(merged([one, nothing])) == figures(one)


def test_what_one_cannot_tell_both_cannot() -> None:
    seen = merged([reading()._replace(resets=None, unread_bytes=None, rtt_buckets=None), reading()])
    assert (seen.resets, seen.unread_bytes, seen.rtt_buckets) == (None, None, None)
