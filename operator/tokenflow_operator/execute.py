"""Carries out a plan's changes of objects."""

import logging
from typing import Final

from tokenflow_operator.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.objects import kind_of, ref_of
from tokenflow_operator.plan import Plan
from tokenflow_operator.snapshot import Refusal

_log: Final = logging.getLogger(__name__)


async def execute(plan: Plan, kube: Kube) -> tuple[Refusal, ...]:
    """Apply and delete objects, and return what the API would not take.

    Every step stands for itself: stopped after any of them, the next pass finds what is left to do.

    Raises:
        KubeError: the API could not be reached; what was done stays done.
    """
    refusals = []
    for manifest in plan.apply:
        ref = ref_of(manifest)
        try:
            await kube.apply(kind_of(ref), manifest)
        except (InvalidError, ForbiddenError, ConflictError) as error:
            refusals.append(Refusal(ref=ref, message=str(error)))
    for child in plan.delete:
        ref, meta = ref_of(child), child["metadata"]
        try:
            await kube.delete(kind_of(ref), namespace=meta["namespace"], name=ref.name, uid=meta["uid"])
        except (NotFoundError, ConflictError) as error:
            _log.info("already gone", extra={"object": str(ref), "cause": str(error)})
    return tuple(refusals)
