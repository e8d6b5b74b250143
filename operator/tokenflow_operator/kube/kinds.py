"""The kinds that the operator works with, and where the API serves them.

A table instead of discovery: the operator knows what it renders, so it needs neither the
requests nor the memory that discovering a whole cluster takes.
"""

from dataclasses import dataclass
from typing import Final

from tokenflow_api import pacing_policy, telemetry_agent
from tokenflow_api.meta import API_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of the Kubernetes API.

    Attributes:
        optional: it exists only where another operator's resources are installed.
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    optional: bool = False

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, of one object, or of a part of it; no namespace means all."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return "/".join(part for part in (f"{root}{scope}/{self.plural}", name, subresource) if part)


CONFIG_MAP: Final = Kind(api_version="v1", kind="ConfigMap", plural="configmaps")
POD: Final = Kind(api_version="v1", kind="Pod", plural="pods")
SERVICE: Final = Kind(api_version="v1", kind="Service", plural="services")
SERVICE_ACCOUNT: Final = Kind(api_version="v1", kind="ServiceAccount", plural="serviceaccounts")
DAEMON_SET: Final = Kind(api_version="apps/v1", kind="DaemonSet", plural="daemonsets")
DEPLOYMENT: Final = Kind(api_version="apps/v1", kind="Deployment", plural="deployments")
EVENT: Final = Kind(api_version="events.k8s.io/v1", kind="Event", plural="events")
CONTROLLER_REVISION: Final = Kind(api_version="apps/v1", kind="ControllerRevision", plural="controllerrevisions")
NODE: Final = Kind(api_version="v1", kind="Node", plural="nodes", namespaced=False)
LEASE: Final = Kind(api_version="coordination.k8s.io/v1", kind="Lease", plural="leases")
SECRET: Final = Kind(api_version="v1", kind="Secret", plural="secrets")
PERSISTENT_VOLUME_CLAIM: Final = Kind(api_version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims")
POD_DISRUPTION_BUDGET: Final = Kind(api_version="policy/v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets")
NETWORK_POLICY: Final = Kind(api_version="networking.k8s.io/v1", kind="NetworkPolicy", plural="networkpolicies")
HORIZONTAL_POD_AUTOSCALER: Final = Kind(
    api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", plural="horizontalpodautoscalers"
)
VALIDATING_WEBHOOK_CONFIGURATION: Final = Kind(
    api_version="admissionregistration.k8s.io/v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    namespaced=False,
)
_MONITORING: Final = "monitoring.coreos.com/v1"
PROMETHEUS_RULE: Final = Kind(api_version=_MONITORING, kind="PrometheusRule", plural="prometheusrules", optional=True)
SERVICE_MONITOR: Final = Kind(api_version=_MONITORING, kind="ServiceMonitor", plural="servicemonitors", optional=True)
POD_MONITOR: Final = Kind(api_version=_MONITORING, kind="PodMonitor", plural="podmonitors", optional=True)
HINT_REQUESTS: Final = Kind(
    api_version="custom.metrics.k8s.io/v1beta1",
    kind="MetricValueList",
    plural="pods/hint_server_request_count_per_second",
    optional=True,
)
"""What prometheus-adapter, with the rules that it comes with, makes of hint_server_request_count_total."""
ROLE: Final = Kind(api_version="rbac.authorization.k8s.io/v1", kind="Role", plural="roles")
ROLE_BINDING: Final = Kind(api_version="rbac.authorization.k8s.io/v1", kind="RoleBinding", plural="rolebindings")
PACING_POLICY: Final = Kind(api_version=API_VERSION, kind=pacing_policy.KIND, plural=pacing_policy.PLURAL)
TELEMETRY_AGENT: Final = Kind(api_version=API_VERSION, kind=telemetry_agent.KIND, plural=telemetry_agent.PLURAL)

OWNERS: Final = (PACING_POLICY, TELEMETRY_AGENT)
CHILDREN: Final = (
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    CONFIG_MAP,
    SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    DEPLOYMENT,
    POD_DISRUPTION_BUDGET,
    HORIZONTAL_POD_AUTOSCALER,
    DAEMON_SET,
    PROMETHEUS_RULE,
    SERVICE_MONITOR,
    POD_MONITOR,
)
"""What may be rendered, in the order in which it is applied: an identity before the pods that need it."""
OPTIONAL: Final = (*(kind for kind in CHILDREN if kind.optional), HINT_REQUESTS)
"""What may be rendered or referred to where the API serves it."""
