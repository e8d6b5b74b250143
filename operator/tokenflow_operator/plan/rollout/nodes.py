"""What is known of nodes: whether an agent belongs on one, and whether it can be reached.

The rules are those of the DaemonSet's controller (``nodeShouldRunDaemonPod``).
"""

from collections.abc import Mapping
from typing import Any, Final

from tokenflow_api.meta import TaintEffect, Toleration, TolerationOperator
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.kube.objects import Manifest

LINUX: Final = {"kubernetes.io/os": "linux"}
ANY_TAINT: Final = (Toleration(operator=TolerationOperator.EXISTS),)
_EVICTING: Final = frozenset({TaintEffect.NO_SCHEDULE.value, TaintEffect.NO_EXECUTE.value})
_PASSING: Final = frozenset(
    f"node.kubernetes.io/{state}"
    for state in (
        *("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"),
        "network-unavailable",
    )
)
"""Taints that Kubernetes sets by itself: they come and go, and its DaemonSets put up with nearly all of them."""


def name_of(node: Manifest) -> str:
    """Return the node's name."""
    name: str = node["metadata"]["name"]
    return name


def is_ready(node: Manifest) -> bool:
    """Return whether the node's kubelet says that it is well."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_cordoned(node: Manifest) -> bool:
    """Return whether somebody set the node aside, such as to drain it."""
    return bool(node.get("spec", {}).get("unschedulable", False))


def has_labels(node: Manifest, selector: Mapping[str, str]) -> bool:
    """Return whether the node carries all labels of the selector."""
    labels = node["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in selector.items())


def belongs_on(spec: TelemetryAgentSpec, node: Manifest) -> bool:
    """Return whether the spec asks for an agent on the node, be it ready or not."""
    taints = node.get("spec", {}).get("taints", [])
    lasting = (taint for taint in taints if taint["effect"] in _EVICTING and taint["key"] not in _PASSING)
    tolerations = spec.tolerations or ANY_TAINT
    selected = has_labels(node, {**LINUX, **spec.node_selector})
    return selected and all(any(_tolerates(t, taint) for t in tolerations) for taint in lasting)


def _tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    if toleration.effect is not None and toleration.effect != taint["effect"]:
        return False
    if toleration.key is not None and toleration.key != taint["key"]:
        return False
    return toleration.operator is TolerationOperator.EXISTS or (toleration.value or "") == taint.get("value", "")
