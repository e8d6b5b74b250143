"""What the hint service and the gateway have in common: replicas that serve HTTP and may be replaced at any time."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tokenflow_api.pacing_policy import Tenant
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.objects import confined, container_ports, field_env, http_probe, mount, unprivileged_pod

PORTS: Final[dict[str, int]] = {"metrics": names.METRICS_PORT}
_NO_PORTS: Final[Mapping[str, int]] = {}
SCRATCH: Final[dict[str, Any]] = {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
_LEAVE_SERVICE_S: Final = 3
"""Seconds between the end of new connections by the Service and the program's own drain."""


def tenant_keys(tenants: Iterable[Tenant]) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts of the tenants' API keys.

    A Secret may come later than the policy: its tenant is refused until then, and the others are served.
    """
    referring = [(t.name, t.api_keys_secret_ref.name) for t in tenants if t.api_keys_secret_ref is not None]
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
    }


def deployment(
    *, labels: Mapping[str, str], selector: Mapping[str, str], replicas: int, pod: Mapping[str, Any]
) -> Manifest:
    """Return the spec of a Deployment that is spread over nodes and updated without a gap."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(selector)},
    }
    return {
        "replicas": replicas,
        "selector": {"matchLabels": dict(selector)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": dict(labels)},
            "spec": {
                "enableServiceLinks": False,
                "securityContext": unprivileged_pod(),
                "topologySpreadConstraints": [spread],
                **pod,
            },
        },
    }
