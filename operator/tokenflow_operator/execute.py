"""Carries out a plan's changes of objects."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Final

from tokenflow_api.tasks import together
from tokenflow_operator import metrics
from tokenflow_operator.contests import Contests
from tokenflow_operator.errors import ConflictError, FieldConflictError, ForbiddenError, InvalidError, NotFoundError
from tokenflow_operator.feed import Feed
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.kube.objects import kind_of, ref_of
from tokenflow_operator.plan import Plan
from tokenflow_operator.plan.drift import holds
from tokenflow_operator.snapshot import Refusal

_AT_A_TIME: Final = 16

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """Applies and deletes objects.

    Attributes:
        kube: where.
        feed: is told of each answer, so that the next pass sees what this one did, and what others did meanwhile.
        contests: decide over fields that other managers set.
    """

    kube: Kube
    feed: Feed
    contests: Contests

    async def execute(self, owner: Key, plan: Plan) -> tuple[Refusal, ...]:
        """Apply and delete objects, those of one kind side by side, and return what the API would not take.

        Every step stands for itself: stopped after any of them, the next pass finds what is left to do.

        Raises:
            KubeError: the API could not be reached; what was done stays done.
        """
        refusals: list[Refusal | None] = []
        for manifests in _alike(plan.apply):
            refusals += await together(*(self._apply(owner, manifest) for manifest in manifests))
        for children in _alike(plan.delete):
            await together(*map(self._delete, children))
        return tuple(refusal for refusal in refusals if refusal is not None)

    async def _apply(self, owner: Key, manifest: Manifest) -> Refusal | None:
        ref = ref_of(manifest)
        kind = kind_of(ref)
        try:
            try:
                applied = await self.kube.apply(kind, manifest)
            except FieldConflictError as conflict:
                lost = self.contests.lost(owner, ref, conflict.claims)
                if lost:
                    return Refusal(ref=ref, message=str(conflict), claims=lost)
                self.contests.overruled(owner, ref, conflict.claims)
                applied = await self.kube.apply(kind, manifest, force=True)
        except (InvalidError, ForbiddenError, ConflictError) as error:
            return Refusal(ref=ref, message=str(error))
        except NotFoundError as error:
            if not kind.optional:
                raise
            _log.info("a kind is not served any more", extra={"kind": kind.kind, "cause": str(error)})
            return None
        self.feed.put(kind, applied)
        if not holds(manifest, applied):
            metrics.UNSETTLED.labels(kind=ref.kind).inc()
            _log.warning("an object is not as it was applied: another component changes it", extra={"object": str(ref)})
        return None

    async def _delete(self, child: Manifest) -> None:
        ref, meta = ref_of(child), child["metadata"]
        kind = kind_of(ref)
        try:
            left = await self.kube.delete(kind, namespace=meta["namespace"], name=ref.name, uid=meta["uid"])
        except (NotFoundError, ConflictError) as error:
            _log.info("already gone", extra={"object": str(ref), "cause": str(error)})
            left = None
        if left is None:
            self.feed.drop(kind, child)
        else:
            self.feed.put(kind, left)


def _alike(manifests: Iterable[Manifest]) -> Iterator[list[Manifest]]:
    """Yield what may be done side by side: objects of one kind that follow one another, so many at most."""
    for _, alike in groupby(manifests, key=lambda manifest: manifest["kind"]):
        while batch := list(islice(alike, _AT_A_TIME)):
            yield batch
