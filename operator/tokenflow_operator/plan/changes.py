"""What must change for the cluster to hold what was rendered."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenflow_operator.kube.kinds import CHILDREN
from tokenflow_operator.kube.objects import Manifest, controller_uid, ref_of
from tokenflow_operator.plan.drift import holds
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.snapshot import Cluster

_ORDER = {kind.kind: index for index, kind in enumerate(CHILDREN)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """Objects to apply and to delete, and what stands in the way."""

    apply: tuple[Manifest, ...]
    delete: tuple[Manifest, ...]
    problems: tuple[Problem, ...]


def changes(owner: Owner, rendered: Sequence[Manifest], cluster: Cluster) -> Changes:
    """Compare what was rendered with what exists. What belongs to others is left alone and reported."""
    apply, foreign = [], []
    for manifest in sorted(rendered, key=lambda manifest: _ORDER[manifest["kind"]]):
        present = cluster.children.get(ref_of(manifest))
        if present is not None and controller_uid(present) != owner.uid:
            foreign.append(f"{ref_of(manifest)}")
        elif present is None or not holds(manifest, present):
            apply.append(manifest)
    wanted = {ref_of(manifest) for manifest in rendered}
    delete = [
        child for ref, child in cluster.children.items() if ref not in wanted and controller_uid(child) == owner.uid
    ]
    return Changes(apply=tuple(apply), delete=tuple(delete), problems=tuple(_problems(foreign, cluster)))


def _problems(foreign: Sequence[str], cluster: Cluster) -> list[Problem]:
    problems = []
    if foreign:
        message = (
            f"{', '.join(foreign)} exist already and belong to another: they are left alone:"
            " rename or delete them, or give this resource another name"
        )
        problems.append(Problem(reason=Reason.CONFLICT, severity=Severity.BLOCKING, message=message))
    if cluster.refusals:
        words = "; ".join(f"{refusal.ref}: {refusal.message}" for refusal in cluster.refusals)
        message = f"the Kubernetes API refused {words}"
        problems.append(Problem(reason=Reason.APPLY_REFUSED, severity=Severity.BLOCKING, message=message))
    return problems
