"""What must change for the cluster to hold what was rendered."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final

from tokenflow_operator.keys import OWNER_LABEL
from tokenflow_operator.kube.kinds import CHILDREN
from tokenflow_operator.kube.objects import Manifest, controller_uid, ref_of
from tokenflow_operator.plan.drift import holds
from tokenflow_operator.plan.immutable import must_be_replaced
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.snapshot import Refusal

_REPLACED_S: Final = 0.5
_ORDER = {kind.kind: index for index, kind in enumerate(CHILDREN)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """Objects to apply and to delete, and what stands in the way.

    Attributes:
        due_in_s: seconds until what is deleted now can be made anew.
    """

    apply: tuple[Manifest, ...]
    delete: tuple[Manifest, ...]
    problems: tuple[Problem, ...]
    due_in_s: float = inf


class _Possession(Enum):
    """Whose an object is."""

    OURS = auto()
    """The resource controls it, or left it behind when it was deleted without its children."""
    PREVIOUS = auto()
    """A deleted resource of the same name controls it: Kubernetes is about to delete it."""
    FOREIGN = auto()


def changes(
    owner: Owner, rendered: Sequence[Manifest], children: Iterable[Manifest], refusals: Sequence[Refusal]
) -> Changes:
    """Compare what was rendered with what exists. What belongs to others is left alone and reported.

    Args:
        owner: whose objects they are.
        rendered: what should be.
        children: what carries the owner's label, and what else has a name that it needs.
        refusals: what the API would not take in this pass.
    """
    present = {ref_of(child): child for child in children}
    possession = {ref: _possession(child, owner) for ref, child in present.items()}
    wanted = {ref_of(manifest): manifest for manifest in sorted(rendered, key=lambda m: _ORDER[m["kind"]])}
    ours = {ref: child for ref, child in present.items() if possession[ref] is _Possession.OURS}
    refused = {refusal.ref for refusal in refusals}
    drifted = [
        (ref, manifest)
        for ref, manifest in wanted.items()
        if (ref not in present or (ref in ours and not holds(manifest, ours[ref]))) and ref not in refused
    ]
    replaced = {ref for ref, manifest in drifted if ref in ours and must_be_replaced(manifest, ours[ref])}
    delete = [
        child
        for ref, child in ours.items()
        if (ref not in wanted or ref in replaced) and "deletionTimestamp" not in child["metadata"]
    ]
    in_the_way = {
        kind: [str(ref) for ref in wanted if possession.get(ref) is kind]
        for kind in (_Possession.FOREIGN, _Possession.PREVIOUS)
    }
    problems = _problems(in_the_way[_Possession.FOREIGN], in_the_way[_Possession.PREVIOUS], refusals)
    return Changes(
        apply=tuple(manifest for ref, manifest in drifted if ref not in replaced),
        delete=tuple(delete),
        problems=tuple(problems),
        due_in_s=_REPLACED_S if replaced else inf,
    )


def _possession(child: Manifest, owner: Owner) -> _Possession:
    controller = controller_uid(child)
    labelled = child["metadata"].get("labels", {}).get(OWNER_LABEL) == owner.key.owner_label
    if controller == owner.uid or (labelled and not controller):
        return _Possession.OURS
    return _Possession.PREVIOUS if labelled else _Possession.FOREIGN


def _problems(foreign: Sequence[str], previous: Sequence[str], refusals: Sequence[Refusal]) -> Iterator[Problem]:
    if foreign:
        message = (
            f"{', '.join(foreign)}: there already, made by another, and left alone:"
            " rename or delete what is there, or give this resource another name"
        )
        yield Problem(reason=Reason.CONFLICT, severity=Severity.BLOCKING, message=message)
    if previous:
        message = f"{', '.join(previous)} of a deleted resource of this name are still being deleted"
        yield Problem(reason=Reason.PREVIOUS_BEING_DELETED, severity=Severity.PROGRESSING, message=message)
    claimed = [refusal for refusal in refusals if refusal.claims]
    if claimed:
        yield Problem(reason=Reason.FIELD_CONFLICT, severity=Severity.BLOCKING, message=_claims(claimed))
    others = [refusal for refusal in refusals if not refusal.claims]
    if others:
        words = "; ".join(f"{refusal.ref}: {refusal.message}" for refusal in others)
        message = f"the Kubernetes API refused {words}: mend what its words name; it is tried again by itself"
        yield Problem(reason=Reason.APPLY_REFUSED, severity=Severity.BLOCKING, message=message)


def _claims(refusals: Sequence[Refusal]) -> str:
    words = "; ".join(
        f"{refusal.ref}: {claim.field} is held by field manager {claim.manager!r},"
        f" which {'applies it' if claim.declared else 'sets it again and again'}"
        for refusal in refusals
        for claim in refusal.claims
    )
    return (
        f"{words}: these objects are left as they are, other changes to them included: let that manager give up the"
        " field (remove it from what it applies, or stop it), or set it by this resource's spec"
    )
