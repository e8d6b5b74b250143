"""What becomes of a hint that nobody renews."""

from typing import Final

from tokenflow_api.hints import Admission, Hint, PathState, Source
from tokenflow_api.modes import Mode

DRIFT_S: Final = 10.0
"""Time that an expired hint takes to reach the fallback rate."""
EXPIRED: Final = "HintExpired"
"""Reason of a hint that nobody renewed."""


def drifted(hint: Hint, *, age_s: float, ttl_s: float, fallback: float) -> Hint:
    """Return what is left of ``hint`` at that age: itself while it may be trusted, then ever more the fallback.

    The rate moves linearly over ``DRIFT_S``, so that readers see no jump when the hint service goes or comes
    back: never to zero, and never as if the path were saturated. The rate of a policy that changes nothing stays.
    After ``DRIFT_S`` nothing is known of the GPUs any more, and nobody is held back for them.

    Args:
        hint: the hint as it was computed.
        age_s: seconds since then.
        ttl_s: seconds that it may be trusted.
        fallback: tokens per second where nothing is known.
    """
    if age_s <= ttl_s:
        return hint
    share = min(1.0, (age_s - ttl_s) / DRIFT_S) if hint.mode is Mode.ENFORCE else 0.0
    rate = hint.tokens_per_second + (fallback - hint.tokens_per_second) * share
    update = {
        "tokens_per_second": rate,
        "source": Source.FALLBACK,
        "state": PathState.DEGRADED,
        "reasons": [EXPIRED],
    }
    if age_s >= ttl_s + DRIFT_S:
        update |= {"admission": Admission.ADMIT, "retry_after_ms": 0, "max_tokens_hint": None}
    return hint.model_copy(update=update)
