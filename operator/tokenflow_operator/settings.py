"""What the operator is told when it starts."""

from dataclasses import dataclass


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
class Installation:
    """All that a plan depends on besides the cluster's state."""

    images: Images
    identity: Identity
