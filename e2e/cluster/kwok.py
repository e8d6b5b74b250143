"""Fake nodes by kwok: objects that turn ready and whose pods do, with no kubelet and no container.

How a fake node and its pods behave stands in Stage files, which come with kwok's own module. One
of ours makes pods of ``BAD_IMAGE`` fail as a kubelet does that cannot pull.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from e2e.cluster.binaries import MODULES
from e2e.cluster.errors import ClusterError
from e2e.commands import run

BAD_IMAGE: Final = "registry.invalid/absent:1"
_STAGES: Final = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
_SELECTED: Final = ("kwok.x-k8s.io/node", "fake")
_LEASE_S: Final = 200
"""Seconds for which a node's lease holds: a thousand nodes that renew it often would be a load of their own."""
_POD_CIDR: Final = "10.128.0.0/16"
_DOWNLOAD_S: Final = 300.0
_CANNOT_PULL: Final = """
conditions:
- {type: Initialized, status: "True"}
- {type: Ready, status: "False", reason: ContainersNotReady}
- {type: ContainersReady, status: "False", reason: ContainersNotReady}
containerStatuses:
{{ range .spec.containers }}
- image: {{ .image | Quote }}
  name: {{ .name | Quote }}
  ready: false
  restartCount: 0
  state:
    waiting: {reason: ImagePullBackOff, message: {{ printf "Back-off pulling image %s" .image | Quote }}}
{{ end }}
phase: Pending
"""
_BAD_IMAGE_STAGE: Final = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "pod-cannot-pull"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        # Of several stages that fit, those without a weight are never taken.
        "weight": 1,
        "selector": {
            "matchExpressions": [
                {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                {"key": ".spec.containers.[].image", "operator": "In", "values": [BAD_IMAGE]},
            ]
        },
        "next": {"statusTemplate": _CANNOT_PULL},
    },
}


def command(*, binaries: Path, kubeconfig: Path, directory: Path) -> list[str]:
    """Return the command that looks after the fake nodes of a cluster.

    Args:
        binaries: where kwok is.
        kubeconfig: the administrator's.
        directory: for a file of ours.

    Raises:
        ClusterError: kwok's module has no such stages.
        CommandError: the module could not be fetched.
    """
    ours = directory / "kwok-stages.json"
    ours.write_text(json.dumps(_BAD_IMAGE_STAGE))
    configs = [word for file in (*_stages(), ours) for word in ("--config", str(file))]
    return [
        *(str(binaries / "kwok"), "--kubeconfig", str(kubeconfig), "--manage-all-nodes=false", "--v=WARN"),
        f"--manage-nodes-with-annotation-selector={'='.join(_SELECTED)}",
        *(f"--node-lease-duration-seconds={_LEASE_S}", f"--cidr={_POD_CIDR}", *configs),
    ]


def node(number: int, *, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a fake node, known by its number."""
    name, (annotation, value) = f"fake-{number}", _SELECTED
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {annotation: value},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})},
        },
    }


def _stages() -> Sequence[Path]:
    fetched = run(
        ["go", "-C", str(MODULES / "kwok"), "mod", "download", "-json", "sigs.k8s.io/kwok"], timeout_s=_DOWNLOAD_S
    )
    folder = Path(json.loads(fetched)["Dir"]) / "kustomize" / "stage"
    stages = [folder / stage for stage in _STAGES]
    if missing := [str(stage) for stage in stages if not stage.exists()]:
        raise ClusterError(f"kwok's module lacks {', '.join(missing)}: see which stages its version has")
    return stages
