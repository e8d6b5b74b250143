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
    """A namespaced kind of the Kubernetes API."""

    api_version: str
    kind: str
    plural: str

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
ROLE: Final = Kind(api_version="rbac.authorization.k8s.io/v1", kind="Role", plural="roles")
ROLE_BINDING: Final = Kind(api_version="rbac.authorization.k8s.io/v1", kind="RoleBinding", plural="rolebindings")
PACING_POLICY: Final = Kind(api_version=API_VERSION, kind=pacing_policy.KIND, plural=pacing_policy.PLURAL)
TELEMETRY_AGENT: Final = Kind(api_version=API_VERSION, kind=telemetry_agent.KIND, plural=telemetry_agent.PLURAL)

OWNERS: Final = (PACING_POLICY, TELEMETRY_AGENT)
CHILDREN: Final = (SERVICE_ACCOUNT, ROLE, ROLE_BINDING, CONFIG_MAP, SERVICE, DEPLOYMENT, DAEMON_SET)
"""What may be rendered, in the order in which it is applied: an identity before the pods that need it."""
