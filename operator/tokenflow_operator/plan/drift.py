"""Whether an object is still as it was asked for.

Applying it anyway would change nothing, but costs a request each time; at rest the operator
writes nothing at all. What others add to an object (defaults, other managers' fields) is no drift.
"""

from typing import Any, Final

from tokenflow_api.quantities import amount

_QUANTITIES: Final = frozenset({"requests", "limits", "sizeLimit", "averageValue"})
_MERGED_LISTS: Final = frozenset(
    {
        *("containers", "env", "ports", "volumeMounts", "volumes"),
        *("imagePullSecrets", "topologySpreadConstraints", "ownerReferences"),
    }
)
"""Lists that server-side apply merges item by item, so that others may add to them; the rest it replaces."""


def holds(intent: Any, observed: Any, *, field: str = "") -> bool:
    """Return whether all that ``intent`` says is so in ``observed``, ``field`` being the name of both."""
    if intent == observed:
        return True
    match intent:
        case dict():
            return isinstance(observed, dict) and all(
                key in observed and holds(value, observed[key], field=field if field in _QUANTITIES else key)
                for key, value in intent.items()
            )
        case list() if field in _MERGED_LISTS:
            return isinstance(observed, list) and all(any(holds(mine, other) for other in observed) for mine in intent)
        case list():
            return (
                isinstance(observed, list)
                and len(intent) == len(observed)
                and all(holds(mine, other) for mine, other in zip(intent, observed, strict=True))
            )
        case str() if field in _QUANTITIES and isinstance(observed, str):
            return _equal_quantities(intent, observed)
        case _:
            return False


def _equal_quantities(mine: str, other: str) -> bool:
    try:
        return amount(mine) == amount(other)
    except ValueError:
        # Kubernetes knows more notations than we ever ask in.
        return False
