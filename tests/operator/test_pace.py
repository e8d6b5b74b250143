from hypothesis import given
from hypothesis import strategies as st

from tokenflow_operator.pace import Pace, Paces


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_free_and_then_each_waits_its_share() -> None:
    pace = Pace(per_s=2.0, burst=3.0, clock=Clock())
    assert [pace.spend() for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=50))
def test_who_waits_as_told_never_exceeds_the_rate(idle_s: list[float]) -> None:
    clock = Clock()
    pace = Pace(per_s=2.0, burst=3.0, clock=clock)
    for seconds in idle_s:
        clock.now += pace.spend() + seconds
    assert len(idle_s) <= 3.0 + 2.0 * clock.now + 1e-6


def test_each_key_has_a_pace_of_its_own() -> None:
    paces: Paces[str] = Paces(per_s=1.0, burst=1.0, clock=Clock())
    assert paces.spend("a") == 1.0
    assert paces.spend("a") == 2.0
    assert paces.spend("b") == 1.0


def test_keys_that_rest_are_forgotten_when_there_are_many() -> None:
    clock = Clock()
    paces: Paces[int] = Paces(per_s=1.0, burst=2.0, clock=clock)
    for key in range(2000):
        paces.spend(key)
        clock.now += 1.0
    assert len(paces) <= 1024
