"""Names, ports and paths that the rendered objects share with the programs in them."""

from typing import Final

from tokenflow_api.pacing_policy import Security
from tokenflow_operator.keys import Key

HINT_PORT: Final = 8080
FAST_HINT_PORT: Final = 8081
GATEWAY_PORT: Final = 8000
REDIS_PORT: Final = 6379
METRICS_PORT: Final = 9090
AGENT_PORT: Final = 9435

RUNTIME_DIR: Final = "/etc/tokenflow/runtime"
AGENT_DIR: Final = "/etc/tokenflow/agent"
TENANTS_DIR: Final = "/etc/tokenflow/tenants"
UPSTREAMS_DIR: Final = "/etc/tokenflow/upstreams"
REDIS_DIR: Final = "/etc/tokenflow/redis"
TOKEN_DIR: Final = "/var/run/secrets/tokenflow"  # noqa: S105 - a directory
TOKEN_FILE: Final = f"{TOKEN_DIR}/token"
TLS_DIR: Final = "/etc/tokenflow/tls"
CLIENT_TLS_DIR: Final = "/etc/tokenflow/client-tls"
"""One directory per policy that serves by TLS: the certificate to show there."""


def runtime(policy: str) -> str:
    """Return the name of the policy's ConfigMap."""
    return f"{policy}-runtime"


def hintsvc(policy: str) -> str:
    """Return the name of what makes up the policy's hint service."""
    return f"{policy}-hintsvc"


def gateway(policy: str) -> str:
    """Return the name of what makes up the policy's gateway."""
    return f"{policy}-gateway"


def redis(policy: str) -> str:
    """Return the name of what makes up the policy's own Redis."""
    return f"{policy}-redis"


def alerts(policy: str) -> str:
    """Return the name of the policy's rules for Prometheus."""
    return f"{policy}-alerts"


def metrics(policy: str) -> str:
    """Return the name of what has the policy's metrics scraped."""
    return f"{policy}-metrics"


def dashboard(policy: str) -> str:
    """Return the name of the ConfigMap with the policy's dashboard."""
    return f"{policy}-dashboard"


def agent(telemetry_agent: str) -> str:
    """Return the name of what makes up a TelemetryAgent's workload."""
    return f"{telemetry_agent}-agent"


def hint_service_host(policy: Key) -> str:
    """Return the name of the policy's hint service within the cluster: its certificate must be for this one."""
    return f"{hintsvc(policy.name)}.{policy.namespace}.svc"


def scheme(security: Security) -> str:
    """Return by which scheme the policy's hint service is to serve."""
    return "http" if security.tls_secret_ref is None else "https"


def hint_service_url(policy: Key, scheme: str) -> str:
    """Return where the policy's hint service answers within the cluster."""
    return f"{scheme}://{hint_service_host(policy)}:{HINT_PORT}"
