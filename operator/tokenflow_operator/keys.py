"""Keys: what the work queue holds, and how a child tells whose it is."""

from dataclasses import dataclass
from typing import Final

from tokenflow_operator.kube.kinds import OWNERS, PACING_POLICY, TELEMETRY_AGENT, Kind
from tokenflow_operator.kube.objects import Manifest

OWNER_LABEL: Final = "tokenflow.io/owner"

# The kinds' short names: a label's value has 63 characters, and a resource's name may take 50 of them.
_SHORT_NAMES: Final = {PACING_POLICY.kind: "pp", TELEMETRY_AGENT.kind: "ta"}
_KINDS: Final = {short: kind for kind, short in _SHORT_NAMES.items()}


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """A resource to reconcile."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def reported_as(self) -> str:
        """Name under which the agents of a TelemetryAgent report."""
        return f"{self.namespace}/{self.name}"

    @property
    def served_as(self) -> Kind:
        """Where the API serves the resource."""
        return next(kind for kind in OWNERS if kind.kind == self.kind)

    @property
    def owner_label(self) -> str:
        """Value of the label that marks what belongs to the resource."""
        return f"{_SHORT_NAMES[self.kind]}.{self.name}"


def key_of(manifest: Manifest) -> Key:
    """Return the key of a resource of ours."""
    meta = manifest["metadata"]
    return Key(kind=manifest["kind"], namespace=meta["namespace"], name=meta["name"])


def owner_of(*, namespace: str, label: str) -> Key | None:
    """Return whose child carries the label's value; nothing if we never wrote such a value."""
    short, _, name = label.partition(".")
    kind = _KINDS.get(short)
    return Key(kind=kind, namespace=namespace, name=name) if kind and name else None
