"""What is written, in which order, and what gives way to whom."""

from typing import Any

import pytest

from tokenflow_operator.cache import Cache
from tokenflow_operator.contests import Contests
from tokenflow_operator.errors import FieldClaim, FieldConflictError, InvalidError, NotFoundError
from tokenflow_operator.execute import Executor
from tokenflow_operator.feed import Feed
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kind
from tokenflow_operator.kube.kinds import CONFIG_MAP, POD
from tokenflow_operator.plan import Plan
from tokenflow_operator.workqueue import WorkQueue

OWNER = Key(kind="PacingPolicy", namespace="n", name="demo")
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"}}


def _stored(manifest: dict[str, Any], *, version: int = 1, **metadata: str) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": "u", "resourceVersion": str(version), **metadata}}


class FakeKube:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, *, claims: tuple[FieldClaim, ...] = (), left: dict[str, Any] | None = None) -> None:
        self.claims = claims
        self.left = left
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def apply(self, _: Kind, manifest: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        self.asked.append(f"apply {manifest['metadata']['name']}{' by force' if force else ''}")
        if self.error is not None:
            raise self.error
        if self.claims and not force:
            raise FieldConflictError("conflict", claims=self.claims)
        return _stored(manifest)

    async def delete(self, _: Kind, *, name: str, **__: str) -> dict[str, Any] | None:
        self.asked.append(f"delete {name}")
        if self.error is not None:
            raise self.error
        return self.left


def _executor(kube: FakeKube, cache: Cache | None = None) -> Executor:
    feed = Feed(cache or Cache(), WorkQueue[Key]())
    return Executor(kube=kube, feed=feed, contests=Contests())  # type: ignore[arg-type]


async def test_what_is_applied_is_known_at_once() -> None:
    executor = _executor(kube := FakeKube(), cache := Cache())
    assert await executor.execute(OWNER, Plan(apply=(CONFIG,))) == ()
    assert kube.asked == ["apply a"]
    known = cache.get(CONFIG_MAP, namespace="n", name="a")
    assert known is not None
    assert known["data"] == {"k": "v"}


async def test_an_edit_by_hand_is_overruled() -> None:
    claim = FieldClaim(field=".data.k", manager="kubectl-edit", declared=False)
    executor = _executor(kube := FakeKube(claims=(claim,)))
    assert await executor.execute(OWNER, Plan(apply=(CONFIG,))) == ()
    assert kube.asked == ["apply a", "apply a by force"]


async def test_a_field_that_another_declares_is_left_to_it_and_reported() -> None:
    declared = FieldClaim(field=".data.k", manager="argocd", declared=True)
    edited = FieldClaim(field=".data.l", manager="kubectl-edit", declared=False)
    executor = _executor(kube := FakeKube(claims=(edited, declared)))
    (refusal,) = await executor.execute(OWNER, Plan(apply=(CONFIG,)))
    assert kube.asked == ["apply a"]
    assert (str(refusal.ref), refusal.claims) == ("ConfigMap/a", (declared,))


async def test_a_fourth_edit_of_the_same_field_is_reported() -> None:
    claim = FieldClaim(field=".data.k", manager="controller", declared=False)
    executor = _executor(kube := FakeKube(claims=(claim,)))
    refusals = [await executor.execute(OWNER, Plan(apply=(CONFIG,))) for _ in range(4)]
    assert [bool(refusal) for refusal in refusals] == [False, False, False, True]
    assert kube.asked[-1] == "apply a"


async def test_what_the_api_refuses_stops_nothing_else() -> None:
    executor = _executor(kube := FakeKube())
    kube.error = InvalidError("spec.x: no")
    other = {**CONFIG, "metadata": {"name": "b", "namespace": "n"}}
    refusals = await executor.execute(OWNER, Plan(apply=(CONFIG, other)))
    assert [(str(refusal.ref), refusal.message) for refusal in refusals] == [
        ("ConfigMap/a", "spec.x: no"),
        ("ConfigMap/b", "spec.x: no"),
    ]


async def test_a_kind_that_was_just_removed_stops_nothing_else() -> None:
    executor = _executor(kube := FakeKube())
    rule = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": CONFIG["metadata"]}
    kube.error = NotFoundError("404 page not found")
    assert await executor.execute(OWNER, Plan(apply=(rule,))) == ()
    with pytest.raises(NotFoundError):
        await executor.execute(OWNER, Plan(apply=(CONFIG,)))


@pytest.mark.parametrize("error", [None, NotFoundError("gone")])
async def test_what_is_deleted_is_forgotten_at_once(error: Exception | None) -> None:
    executor = _executor(kube := FakeKube(), cache := Cache())
    cache.put(CONFIG_MAP, _stored(CONFIG))
    kube.error = error
    await executor.execute(OWNER, Plan(delete=(_stored(CONFIG),)))
    assert cache.get(CONFIG_MAP, namespace="n", name="a") is None


async def test_what_still_ends_is_known_to_end() -> None:
    pod = _stored({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}})
    kube = FakeKube(left=_stored(pod, version=2, deletionTimestamp="2026-01-01T00:00:00Z"))
    executor = _executor(kube, cache := Cache())
    cache.put(POD, pod)
    await executor.execute(OWNER, Plan(delete=(pod,)))
    known = cache.get(POD, namespace="n", name="p")
    assert known is not None
    assert known["metadata"]["deletionTimestamp"]
