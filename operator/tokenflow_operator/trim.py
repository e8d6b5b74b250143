"""What is kept of an object: what plans read, and no more.

A thousand nodes and as many pods fit into a few megabytes that way, and what changes without meaning anything to a
plan, such as a node's heartbeat, does not count as a change.
"""

from collections.abc import Callable
from typing import Any, Final

from tokenflow_operator.kube import FIELD_MANAGER, Kind, Manifest
from tokenflow_operator.kube.kinds import HORIZONTAL_POD_AUTOSCALER, NODE, OWNERS, POD

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_OWNERS: Final = frozenset(kind.kind for kind in OWNERS)


def trimmed(kind: Kind, manifest: Manifest) -> Manifest:
    """Return what is kept of an object, without its kind and its version."""
    kept = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    reduce = _REDUCED.get(kind.kind)
    return {**(reduce(kept) if reduce else kept), "metadata": _metadata(kind, manifest["metadata"])}


def _metadata(kind: Kind, metadata: Manifest) -> Manifest:
    kept = _without(metadata, "managedFields", "resourceVersion", "annotations")
    if kind.kind in _OWNERS:
        # They tell when the operator last wrote the status.
        entries = metadata.get("managedFields", [])
        kept["managedFields"] = [
            _without(entry, "fieldsV1")
            for entry in entries
            if entry.get("manager") == FIELD_MANAGER and entry.get("subresource") == "status"
        ]
    annotations = _without(metadata.get("annotations", {}), _LAST_APPLIED)
    # A node's annotations are other controllers' notes, some of them renewed all the time.
    return {**kept, "annotations": annotations} if annotations and kind != NODE else kept


def _node(node: Manifest) -> Manifest:
    conditions = [
        _only(condition, "type", "status", "reason", "lastTransitionTime")
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready"
    ]
    return {"spec": _only(node.get("spec", {}), "unschedulable", "taints"), "status": {"conditions": conditions}}


def _pod(pod: Manifest) -> Manifest:
    spec, status = pod.get("spec", {}), pod.get("status", {})
    containers = [_only(container, "name", "image") for container in spec.get("containers", [])]
    statuses = {
        field: [
            _without(entry, "imageID", "containerID", "volumeMounts", "resources", "user") for entry in status[field]
        ]
        for field in ("containerStatuses", "initContainerStatuses")
        if field in status
    }
    conditions = [_without(one, "lastProbeTime", "observedGeneration") for one in status.get("conditions", [])]
    return {
        "spec": {**_only(spec, "nodeName", "affinity"), "containers": containers},
        "status": {
            **_only(status, "phase", "reason", "message", "startTime"),
            "conditions": conditions,
            **statuses,
        },
    }


def _autoscaler(autoscaler: Manifest) -> Manifest:
    """Leave out the measurements, which change every quarter of a minute."""
    status = autoscaler.get("status", {})
    conditions = [
        _only(condition, "type", "status", "reason", "lastTransitionTime") for condition in status.get("conditions", [])
    ]
    replicas = _only(status, "currentReplicas", "desiredReplicas")
    return {**autoscaler, "status": {**replicas, "conditions": conditions}}


_REDUCED: Final[dict[str, Callable[[Manifest], Manifest]]] = {
    NODE.kind: _node,
    POD.kind: _pod,
    HORIZONTAL_POD_AUTOSCALER.kind: _autoscaler,
}


def _only(mapping: Manifest, *keys: str) -> Manifest:
    return {key: mapping[key] for key in keys if key in mapping}


def _without(mapping: Manifest, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
