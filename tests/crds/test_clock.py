from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.clock import Clock, Instant, Reading

HOUR_MS = 3_600_000.0


class Node:
    """A node whose wall clock is ``behind_ms`` behind the receiver's."""

    def __init__(self, *, behind_ms: float = 0.0) -> None:
        self.steady_ms = 1000.0
        self.behind_ms = behind_ms

    def receiver_ms(self) -> float:
        return 1.7e12 + self.steady_ms

    def __call__(self) -> Instant:
        return Instant(wall_ms=self.receiver_ms() - self.behind_ms, steady_ms=self.steady_ms)

    def exchange(self, clock: Clock, *, there_ms: float, back_ms: float) -> None:
        sent = self()
        self.steady_ms += there_ms
        received = int(self.receiver_ms())
        self.steady_ms += back_ms
        clock.exchanged(sent, received)


def test_nothing_is_known_before_the_first_exchange() -> None:
    assert Clock(Node()).reading() == Reading(0, None)


def test_an_exchange_tells_offset_and_error() -> None:
    node = Node(behind_ms=250)
    clock = Clock(node)
    node.exchange(clock, there_ms=10, back_ms=10)
    assert clock.reading() == Reading(250, 12)


def test_the_quickest_exchange_speaks() -> None:
    node = Node(behind_ms=250)
    clock = Clock(node)
    node.exchange(clock, there_ms=2, back_ms=2)
    node.exchange(clock, there_ms=300, back_ms=0)
    assert clock.reading() == Reading(250, 4)


def test_the_error_grows_with_age() -> None:
    node = Node()
    clock = Clock(node)
    node.exchange(clock, there_ms=1, back_ms=1)
    node.steady_ms += HOUR_MS
    assert clock.reading() == Reading(0, 183)


def test_a_clock_that_is_set_is_noticed_at_once_in_both_directions() -> None:
    for step_ms in (HOUR_MS, -HOUR_MS):
        node = Node()
        clock = Clock(node)
        node.exchange(clock, there_ms=1, back_ms=1)
        node.behind_ms += step_ms
        assert clock.reading() == Reading(0, None)
        node.exchange(clock, there_ms=1, back_ms=1)
        assert clock.reading() == Reading(round(step_ms), 3)


def test_an_exchange_during_which_the_clock_was_set_tells_nothing() -> None:
    node = Node()
    clock = Clock(node)
    sent = node()
    node.behind_ms = HOUR_MS
    clock.exchanged(sent, int(node.receiver_ms()))
    assert clock.reading() == Reading(0, None)


@given(
    behind_ms=st.integers(-1_000_000, 1_000_000),
    trips=st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 2000)), min_size=1, max_size=40),
)
def test_the_true_offset_is_always_within_the_error(behind_ms: int, trips: list[tuple[float, float]]) -> None:
    node = Node(behind_ms=behind_ms)
    clock = Clock(node)
    for there_ms, back_ms in trips:
        node.exchange(clock, there_ms=there_ms, back_ms=back_ms)
    reading = clock.reading()
    assert reading.error_ms is not None
    assert abs(reading.offset_ms - behind_ms) <= reading.error_ms
