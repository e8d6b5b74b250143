"""What the operator is told when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

DOCS_URL: Final = "https://github.com/tokenflow/tokenflow-operator/blob/main/docs"
"""Where the documentation is published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """What the pods run.

    Attributes:
        agent: image of agents whose resource names none.
        hintsvc: image of the hint service and the gateway.
        redis: any image with ``redis-server`` on its path.
        pull_policy: ``Always``, ``IfNotPresent`` or ``Never``.
        pull_secrets: names of Secrets of type kubernetes.io/dockerconfigjson, in the namespace of each resource.
    """

    agent: str
    hintsvc: str
    redis: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The operator's own service account, which hint services let read their state."""

    namespace: str
    service_account: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitoring:
    """How the cluster is monitored.

    Attributes:
        labels: of PrometheusRules and monitors, for a Prometheus that selects them by some.
        docs_url: where the documentation is published, for links in alerts.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    docs_url: str = DOCS_URL


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """All that a plan depends on besides the cluster's state."""

    images: Images
    identity: Identity
    monitoring: Monitoring = field(default_factory=Monitoring)
