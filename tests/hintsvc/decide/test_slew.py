"""How fast a rate may change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.hints import PathState
from tokenflow_hintsvc.decide.blame import Blame
from tokenflow_hintsvc.decide.control import Control
from tokenflow_hintsvc.decide.gate import Gate
from tokenflow_hintsvc.decide.slew import slewed

CLEAR = Control()
CONGESTED = Control(gate=Gate(state=PathState.CONGESTED, rested=0))


@pytest.mark.parametrize(
    ("wanted", "told", "used", "elapsed_s", "rate"),
    [
        (10.0, 80.0, None, 1.0, 40.0),
        (10.0, 80.0, None, 0.0, 80.0),
        (10.0, 80.0, 16.0, 1.0, 12.0),
        (10.0, 80.0, 70.0, 1.0, 40.0),
        (20.0, 80.0, 0.0, 0.0, 20.0),
        (80.0, 20.0, 20.0, 1.0, 24.0),
        (80.0, 20.0, 0.0, 1.0, 24.0),
    ],
    ids=[
        "half of it in a second",
        "none of it at once",
        "what nobody used goes at once",
        "what was used does not",
        "to the rate that is wanted, and no lower",
        "a fifth more in a second",
        "from the rate that was told, used or not",
    ],
)
def test_a_rate_goes_part_of_the_way(
    wanted: float, told: float, used: float | None, elapsed_s: float, rate: float
) -> None:
    assert slewed(wanted, told, control=CONGESTED, elapsed_s=elapsed_s, used=used) == pytest.approx(rate)


def test_a_rate_comes_back_at_once_to_what_is_delivered_and_no_further() -> None:
    assert slewed(80.0, 6.0, control=CONGESTED, elapsed_s=1.0, delivered=30.0) == pytest.approx(30.0)
    assert slewed(20.0, 6.0, control=CONGESTED, elapsed_s=1.0, delivered=30.0) == pytest.approx(20.0)


def test_a_rate_that_yielded_to_others_for_nothing_comes_back_at_once() -> None:
    others = Control(gate=CONGESTED.gate, blame=Blame(others_s=1.0))
    assert slewed(80.0, 6.0, control=others, elapsed_s=0.25) == 80.0


@pytest.mark.parametrize(
    ("patience", "rested", "rate"),
    [(3, 4, 22.0), (3, 5, 24.0), (6, 9, 22.0), (6, 10, 24.0), (24, 29, 22.0), (24, 30, 24.0)],
)
def test_a_rate_grows_slowly_after_congestion_and_longer_where_it_came_back(
    patience: int, rested: int, rate: float
) -> None:
    control = Control(gate=Gate(patience=patience, rested=rested))
    assert slewed(80.0, 20.0, control=control, elapsed_s=1.0) == pytest.approx(rate)


@given(
    wanted=st.floats(0.1, 1000.0),
    told=st.floats(0.1, 1000.0),
    used=st.none() | st.floats(0.0, 1000.0),
    elapsed_s=st.floats(0.0, 1.0),
    control=st.sampled_from([CLEAR, CONGESTED]),
)
def test_a_rate_is_always_between_the_last_one_and_the_wanted_one(
    wanted: float, told: float, used: float | None, elapsed_s: float, control: Control
) -> None:
    rate = slewed(wanted, told, control=control, elapsed_s=elapsed_s, used=used)
    assert min(wanted, told) - 1e-9 <= rate <= max(wanted, told) + 1e-9
