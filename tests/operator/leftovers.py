"""What an earlier release may have made and the present one renders no more: one object of every kind."""

import json
from typing import Any

from tokenflow_operator.kube.kinds import CHILDREN, Kind
from tokenflow_operator.kube.objects import Manifest

_LABELS = {"matchLabels": {"app": "left"}}
_TEMPLATE = {"metadata": {"labels": {"app": "left"}}, "spec": {"containers": [{"name": "left", "image": "absent:1"}]}}
_NOWHERE = _TEMPLATE | {"spec": _TEMPLATE["spec"] | {"nodeSelector": {"no": "where"}}}
_RBAC = "rbac.authorization.k8s.io"
_SUBSTANCE: dict[str, dict[str, Any]] = {
    "RoleBinding": {"roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "left"}},
    "Service": {"spec": {"ports": [{"port": 1}]}},
    "NetworkPolicy": {"spec": {"podSelector": _LABELS}},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    },
    "Deployment": {"spec": {"replicas": 0, "selector": _LABELS, "template": _TEMPLATE}},
    "DaemonSet": {"spec": {"selector": _LABELS, "template": _NOWHERE}},
    "PodDisruptionBudget": {"spec": {"selector": _LABELS}},
    "HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "left"}}
    },
}


def leftovers(owner: Manifest, *, label: dict[str, str]) -> str:
    """Return one object of every kind that the resource controls, as kubectl reads them."""
    items = [_leftover(kind, owner, label) for kind in CHILDREN]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _leftover(kind: Kind, owner: Manifest, label: dict[str, str]) -> Manifest:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": "left", "labels": label, "ownerReferences": [reference | {"controller": True}]},
        **_SUBSTANCE.get(kind.kind, {}),
    }
