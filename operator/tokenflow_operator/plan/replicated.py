"""What the hint service and the gateway have in common: replicas that serve HTTP and may be replaced at any time."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tokenflow_api.pacing_policy import Tenant
from tokenflow_operator.kube.kinds import DEPLOYMENT
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.objects import (
    LAST_WORDS,
    Owner,
    confined,
    container_ports,
    field_env,
    http_probe,
    mount,
    pull_secrets,
    unprivileged_pod,
)
from tokenflow_operator.settings import Images

PORTS: Final[dict[str, int]] = {"metrics": names.METRICS_PORT}
_NO_PORTS: Final[Mapping[str, int]] = {}
_NO_LABELS: Final[Mapping[str, str]] = {}
SCRATCH: Final[dict[str, Any]] = {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
_LEAVE_SERVICE_S: Final = 3
"""Seconds between the end of new connections by the Service and the program's own drain."""


def tenant_keys(tenants: Iterable[Tenant]) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts of the tenants' API keys, whatever the order of the tenants.

    A Secret may come later than the policy: its tenant is refused until then, and the others are served.
    Each has a volume of its own: the keys in them are known to nobody here, and those of two could be called alike.
    """
    referring = sorted((t.name, t.api_keys_secret_ref.name) for t in tenants if t.api_keys_secret_ref is not None)
    volumes = [
        {"name": f"tenant-{index}", "secret": {"secretName": secret, "optional": True}}
        for index, (_, secret) in enumerate(referring)
    ]
    mounts = [mount(f"tenant-{index}", f"{names.TENANTS_DIR}/{tenant}") for index, (tenant, _) in enumerate(referring)]
    return volumes, mounts


def pod_identity() -> list[Manifest]:
    """Return the environment in which a program finds its pod's name."""
    return field_env(POD_NAME="metadata.name", POD_NAMESPACE="metadata.namespace")


def serving(port: int, *, also: Mapping[str, int] = _NO_PORTS, tls: bool = False) -> Manifest:
    """Return the parts of a container that serves HTTP and drains before it ends.

    Args:
        port: where it serves, and is probed.
        also: its other ports by name, besides that of the metrics.
        tls: whether it serves by TLS.
    """
    return {
        "ports": container_ports({"http": port, **also, **PORTS}),
        "startupProbe": http_probe("/healthz", "http", period_s=1, failures=60, tls=tls),
        "livenessProbe": http_probe("/healthz", "http", period_s=10, failures=3, tls=tls),
        "readinessProbe": http_probe("/readyz", "http", period_s=2, failures=2, tls=tls),
        "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVE_SERVICE_S}}},
        "securityContext": confined(),
        "terminationMessagePolicy": LAST_WORDS,
    }


def deployment(
    owner: Owner,
    name: str,
    component: str,
    *,
    replicas: int,
    images: Images,
    pod: Mapping[str, Any],
    labels: Mapping[str, str] = _NO_LABELS,
) -> Manifest:
    """Return a Deployment that is spread over nodes and updated without a gap.

    Args:
        owner: the policy.
        name: of the Deployment.
        component: which part of TokenFlow it is.
        replicas: at present.
        images: to run, and how they are pulled.
        pod: the fields of its pods that no other component has.
        labels: of its pods, besides those that all have.
    """
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": owner.selector(component)},
        # Pods of the revision that goes would weigh with those that stay.
        "matchLabelKeys": ["pod-template-hash"],
    }
    spec = {
        "selector": {"matchLabels": owner.selector(component)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": {**labels, **owner.labels(component)}},
            "spec": {
                "enableServiceLinks": False,
                "securityContext": unprivileged_pod(),
                "topologySpreadConstraints": [spread],
                **pull_secrets(images),
                **pod,
            },
        },
    }
    manifest = owner.object(DEPLOYMENT, name, component, spec=spec)
    # Outside of the intent's fingerprint: what an autoscaler found necessary is no change of what is asked for.
    manifest["spec"]["replicas"] = replicas
    return manifest
