"""What tells a Prometheus operator where the metrics are."""

from typing import Any, Final

from tokenflow_operator.kube.kinds import POD_MONITOR, SERVICE_MONITOR
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import daemonset, gateway, hintsvc, names
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.settings import Monitoring

COMPONENT: Final = "metrics"
_INTERVAL: Final = "15s"
_PORT: Final = "metrics"
"""Name of the port with the metrics, of Services and of containers."""


def service_monitor(owner: Owner, monitoring: Monitoring) -> Manifest:
    """Render what has a policy's hint service and gateway scraped. Their ``job`` is the name of the Service."""
    selector = owner.selector(hintsvc.COMPONENT)
    component = {
        "key": "app.kubernetes.io/component",
        "operator": "In",
        "values": [hintsvc.COMPONENT, gateway.COMPONENT],
    }
    return owner.object(
        SERVICE_MONITOR,
        names.metrics(owner.key.name),
        COMPONENT,
        labels=monitoring.labels,
        spec={
            "selector": {
                "matchLabels": {key: value for key, value in selector.items() if key != component["key"]},
                "matchExpressions": [component],
            },
            "endpoints": [_endpoint()],
        },
    )


def pod_monitor(owner: Owner, monitoring: Monitoring) -> Manifest:
    """Render what has agents scraped. Their ``job`` is namespace and name of the monitor.

    ``namespace`` and ``pod`` of their series are those of the pods that they measure.
    """
    node = {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}
    return owner.object(
        POD_MONITOR,
        names.agent(owner.key.name),
        COMPONENT,
        labels=monitoring.labels,
        spec={
            "selector": {"matchLabels": owner.selector(daemonset.COMPONENT)},
            "podMetricsEndpoints": [_endpoint(honorLabels=True, relabelings=[node])],
        },
    )


def _endpoint(**further: Any) -> dict[str, Any]:
    return {"port": _PORT, "interval": _INTERVAL, **further}
