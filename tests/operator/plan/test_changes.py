"""What has to change, and what is in the way."""

from typing import Any

import pytest

from tokenflow_operator.errors import FieldClaim
from tokenflow_operator.keys import Key
from tokenflow_operator.kube.kinds import DEPLOYMENT, PERSISTENT_VOLUME_CLAIM, ROLE_BINDING, Kind
from tokenflow_operator.kube.objects import ref_of
from tokenflow_operator.plan.changes import changes
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.reasons import Reason
from tokenflow_operator.snapshot import Refusal

OWNER = Owner(key=Key(kind="PacingPolicy", namespace="n", name="demo"), uid="uid-demo")


def _object(kind: Kind = DEPLOYMENT, **content: Any) -> dict[str, Any]:
    return OWNER.object(kind, "x", "gateway", **content)


def _deployment(component: str, **spec: Any) -> dict[str, Any]:
    return _object(spec={"selector": {"matchLabels": {"component": component}}, **spec})


def _stored(manifest: dict[str, Any], **metadata: str) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "u", **metadata}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_deployment("a"), _deployment("b")),
        (
            _object(spec={"selector": {"matchLabels": {"component": "a", "more": "b"}}}),
            _object(spec={"selector": {"matchLabels": {"component": "a"}}, "replicas": 2}),
        ),
        (_object(ROLE_BINDING, roleRef={"name": "a"}), _object(ROLE_BINDING, roleRef={"name": "b"})),
    ],
)
def test_an_object_that_can_never_become_what_it_should_is_made_anew(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    needed = changes(OWNER, [after], [_stored(before)], ())
    assert (needed.apply, needed.delete) == ((), (_stored(before),))
    # The next pass comes by itself.
    assert needed.due_in_s < 1.0
    assert changes(OWNER, [after], [], ()).apply == (after,)


def test_another_field_of_it_is_applied() -> None:
    needed = changes(OWNER, [_deployment("a", replicas=2)], [_stored(_deployment("a", replicas=1))], ())
    assert [ref_of(manifest).name for manifest in needed.apply] == ["x"]
    assert needed.delete == ()


def test_a_claim_of_storage_is_never_deleted_for_a_field() -> None:
    before, after = (_object(PERSISTENT_VOLUME_CLAIM, spec={"storageClassName": name}) for name in "ab")
    assert changes(OWNER, [after], [_stored(before)], ()).delete == ()


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    going = _stored(_deployment("a"), deletionTimestamp="2026-01-01T00:00:00Z")
    assert changes(OWNER, [], [going], ()).delete == ()


def test_a_field_of_another_manager_is_told_with_its_object_and_what_to_do() -> None:
    manifest = _deployment("a")
    claims = (
        FieldClaim(field=".spec.replicas", manager="argocd", declared=True),
        FieldClaim(field=".spec.paused", manager="robot", declared=False),
    )
    refusal = Refusal(ref=ref_of(manifest), message="conflict", claims=claims)
    needed = changes(OWNER, [manifest], [], [refusal])
    (problem,) = needed.problems
    assert problem.reason is Reason.FIELD_CONFLICT
    assert "Deployment/x: .spec.replicas is held by field manager 'argocd', which applies it" in problem.message
    assert (
        "Deployment/x: .spec.paused is held by field manager 'robot', which sets it again and again" in problem.message
    )
    # Nobody is told that it was applied.
    assert needed.apply == ()
