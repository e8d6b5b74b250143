"""What clients are told where the policy must not change anything: to stream as if there were no TokenFlow.

In shadow mode a leader computes as it always does, and its hints can be looked at and explained; what is told to
those who might obey is another matter.
"""

from typing import Final

from tokenflow_api.hints import Admission, Hint, PathState, Source
from tokenflow_api.modes import Mode

UNPACED: Final = 10_000.0
"""Tokens per second that no stream reaches: the greatest rate that a policy can name."""


def told(hint: Hint) -> Hint:
    """Return a hint as clients see it: itself where it is to be obeyed, else one that changes nothing.

    Health, signals and terms stay: they are measurements, not orders.
    """
    if hint.mode is Mode.ENFORCE:
        return hint
    return hint.model_copy(
        update={
            "tokens_per_second": UNPACED,
            "batch_size": 1,
            "batch_delay_ms": 0,
            "admission": Admission.ADMIT,
            "retry_after_ms": 0,
            "max_tokens_hint": None,
            "reasons": [hint.mode.value],
            "state": PathState.CLEAR if hint.source is Source.LIVE else hint.state,
            "model": "",
        }
    )
