"""Who wins a field."""

import pytest

from tokenflow_operator.contests import MAX_OVERRULED, WINDOW_S, Contests
from tokenflow_operator.errors import FieldClaim
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import ObjectRef

OWNER = Key(kind="PacingPolicy", namespace="n", name="demo")
REF = ObjectRef("Deployment", "demo-gateway")
EDITED = FieldClaim(field=".spec.replicas", manager="kubectl", declared=False)
DECLARED = FieldClaim(field=".spec.replicas", manager="argocd", declared=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def contests(clock: Clock) -> Contests:
    return Contests(clock=clock)


def test_an_edit_by_hand_is_overruled_and_a_declared_field_is_not(contests: Contests) -> None:
    assert contests.lost(OWNER, REF, [EDITED, DECLARED]) == (DECLARED,)


def test_an_editor_that_comes_again_and_again_wins_until_the_first_time_is_long_ago(
    contests: Contests, clock: Clock
) -> None:
    for _ in range(MAX_OVERRULED):
        assert contests.lost(OWNER, REF, [EDITED]) == ()
        contests.overruled(OWNER, REF, [EDITED])
        clock.now += 60
    assert contests.lost(OWNER, REF, [EDITED]) == (EDITED,)
    clock.now = WINDOW_S + 1
    assert contests.lost(OWNER, REF, [EDITED]) == ()


@pytest.mark.parametrize(
    ("ref", "claim"),
    [
        (ObjectRef("Deployment", "other"), EDITED),
        (REF, FieldClaim(field=".spec.paused", manager="kubectl", declared=False)),
        (REF, FieldClaim(field=".spec.replicas", manager="someone", declared=False)),
    ],
)
def test_each_object_field_and_manager_is_a_dispute_of_its_own(
    contests: Contests, ref: ObjectRef, claim: FieldClaim
) -> None:
    for _ in range(MAX_OVERRULED):
        contests.overruled(OWNER, REF, [EDITED])
    assert contests.lost(OWNER, ref, [claim]) == ()
