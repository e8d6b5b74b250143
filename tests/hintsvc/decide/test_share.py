import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_hintsvc.decide.share import Claim, shares


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    found = []
    for _ in range(draw(st.integers(1, 8))):
        floor, wanted, cap = sorted(draw(st.tuples(*[st.floats(0.0, 1000.0)] * 3)))
        found.append(Claim(floor=floor, wanted=wanted, cap=cap, weight=float(draw(st.integers(1, 1000)))))
    return found


budgets = st.floats(0.0, 10_000.0)


def around(value: float) -> object:
    return pytest.approx(value, rel=1e-6, abs=1e-6)


@given(budget=budgets, claims=claims())
def test_the_budget_is_kept_and_used_up(budget: float, claims: list[Claim]) -> None:
    floors, caps = sum(claim.floor for claim in claims), sum(claim.cap for claim in claims)
    assert sum(shares(budget, claims)) == around(min(max(budget, floors), caps))


@given(budget=budgets, claims=claims())
def test_nobody_gets_less_than_the_floor_or_more_than_the_cap(budget: float, claims: list[Claim]) -> None:
    for claim, share in zip(claims, shares(budget, claims), strict=True):
        assert claim.floor - 1e-9 <= share <= claim.cap + 1e-9


@given(budget=budgets, more=st.floats(0.0, 1000.0), claims=claims())
def test_nobody_loses_when_there_is_more(budget: float, more: float, claims: list[Claim]) -> None:
    for less, greater in zip(shares(budget, claims), shares(budget + more, claims), strict=True):
        assert greater >= less - 1e-6


@given(budget=budgets, claims=claims())
def test_who_gets_less_by_weight_wants_no_more_or_is_held_by_nothing_else(budget: float, claims: list[Claim]) -> None:
    got = list(zip(claims, shares(budget, claims), strict=True))
    if sum(claim.wanted for claim in claims) < budget:
        return
    for claim, share in got:
        for other, theirs in got:
            is_satisfied = share >= claim.wanted - 1e-6
            is_at_floor = theirs <= other.floor + 1e-6
            assert is_satisfied or is_at_floor or share / claim.weight >= theirs / other.weight - 1e-6


def test_weights_divide_what_all_want() -> None:
    claims = [
        Claim(floor=1.0, wanted=100.0, cap=100.0, weight=4.0),
        Claim(floor=1.0, wanted=100.0, cap=100.0, weight=1.0),
    ]
    assert shares(50.0, claims) == [40.0, 10.0]


def test_what_one_does_not_want_goes_to_the_other() -> None:
    claims = [
        Claim(floor=1.0, wanted=10.0, cap=100.0, weight=4.0),
        Claim(floor=1.0, wanted=100.0, cap=100.0, weight=1.0),
    ]
    assert shares(50.0, claims) == [10.0, 40.0]


def test_what_nobody_wants_is_there_for_whoever_will_want_it() -> None:
    claims = [Claim(floor=0.0, wanted=10.0, cap=80.0, weight=1.0), Claim(floor=0.0, wanted=10.0, cap=80.0, weight=1.0)]
    assert shares(100.0, claims) == [50.0, 50.0]
