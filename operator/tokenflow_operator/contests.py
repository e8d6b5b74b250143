"""Whose a field is that another manager set: ours, theirs, or disputed for too long.

Server-side apply knows two ways to hold a field. Who applies it declares a lasting wish, and is left alone. Who edits
it (``kubectl edit``, ``scale``, ``patch``) did so once: that is drift, and is put right. But an editor that comes back
again and again is a controller, and to overrule it each time would be a war without end.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from tokenflow_operator.errors import FieldClaim
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import ObjectRef

MAX_OVERRULED: Final = 3
WINDOW_S: Final = 600.0
_MAX_REMEMBERED: Final = 4096

_Subject = tuple[Key, ObjectRef, str, str]


class Contests:
    """How often which manager was overruled lately. Beyond 4096 disputes the oldest are forgotten."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._overruled_at: OrderedDict[_Subject, deque[float]] = OrderedDict()

    def lost(self, owner: Key, ref: ObjectRef, claims: Sequence[FieldClaim]) -> tuple[FieldClaim, ...]:
        """Return the claims that are not to be overruled."""
        oldest = self._clock() - WINDOW_S
        return tuple(
            claim
            for claim in claims
            if claim.declared or sum(at >= oldest for at in self._times(owner, ref, claim)) >= MAX_OVERRULED
        )

    def overruled(self, owner: Key, ref: ObjectRef, claims: Sequence[FieldClaim]) -> None:
        """Take note of claims that are overruled now."""
        for claim in claims:
            subject = (owner, ref, claim.field, claim.manager)
            self._overruled_at.setdefault(subject, deque(maxlen=MAX_OVERRULED)).append(self._clock())
            self._overruled_at.move_to_end(subject)
        while len(self._overruled_at) > _MAX_REMEMBERED:
            self._overruled_at.popitem(last=False)

    def _times(self, owner: Key, ref: ObjectRef, claim: FieldClaim) -> Sequence[float]:
        return self._overruled_at.get((owner, ref, claim.field, claim.manager), ())
