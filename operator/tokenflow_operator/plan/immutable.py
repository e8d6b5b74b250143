"""Fields that the API never changes on an object that exists.

To apply them would be refused for ever. Where an object holds nothing of its own it is deleted and made anew; a claim
of storage holds data, and what to do about it is decided where it is rendered.
"""

from typing import Any, Final

from tokenflow_operator.kube.kinds import DAEMON_SET, DEPLOYMENT, ROLE_BINDING
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.drift import holds

_IMMUTABLE: Final[dict[str, tuple[str, ...]]] = {
    DEPLOYMENT.kind: ("spec", "selector"),
    DAEMON_SET.kind: ("spec", "selector"),
    ROLE_BINDING.kind: ("roleRef",),
}


def must_be_replaced(intent: Manifest, observed: Manifest) -> bool:
    """Return whether an object can become what was intended only by being made anew."""
    path = _IMMUTABLE.get(intent["kind"])
    if path is None:
        return False
    wanted, present = _at(intent, path), _at(observed, path)
    # A selector is compared whole: the API takes neither more nor less.
    return not (holds(wanted, present) and holds(present, wanted))


def _at(manifest: Manifest, path: tuple[str, ...]) -> Any:
    value: Any = manifest
    for part in path:
        value = value.get(part, {})
    return value
