"""What two policies claim at once: the same tenant in one namespace, or the same upstream anywhere.

Each keeps its own limits, so that together they let through the sum of what either means to allow.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.snapshot import Policy

_NAMED: Final = 5
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_CLUSTER_DOMAIN: Final = ".cluster.local"

Claims = Callable[[Policy], Mapping[str, str]]
"""What a policy claims: how it is compared, and what it is called in the policy."""


def claim_problems(policy: Policy, policies: Iterable[Policy]) -> Iterator[Problem]:
    """Yield what the policy and others claim, each naming the others.

    Args:
        policy: whose problems they are.
        policies: all that the operator looks after, in any namespace.
    """
    others = [other for other in policies if other.key != policy.key]
    near = [other for other in others if other.key.namespace == policy.key.namespace]
    yield from _shared(
        policy,
        near,
        _tenants,
        reason=Reason.TENANT_CLAIMED_TWICE,
        field="spec.tenants",
        remedy="their limits add up: name each tenant in one policy alone",
    )
    yield from _shared(
        policy,
        others,
        _upstreams,
        reason=Reason.UPSTREAM_CLAIMED_TWICE,
        field="spec.gateway.upstreams",
        remedy="each fills it as if it were alone: name each upstream in one policy alone, or give each a share"
        " of maxConcurrentRequests",
    )


@lru_cache(maxsize=4096)
def upstream_address(url: str, *, namespace: str) -> str:
    """Return what two URLs of the same place have in common.

    A Service is known by several names: ``llama`` within its namespace, ``llama.llm``, ``llama.llm.svc``
    and that with the cluster's domain.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").removesuffix(_CLUSTER_DOMAIN)
    match host.count("."):
        case 0 if ":" not in host:
            host = f"{host}.{namespace}.svc"
        case 1:
            host = f"{host}.svc"
    return f"{host}:{parts.port or _DEFAULT_PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def _tenants(policy: Policy) -> dict[str, str]:
    return {tenant.name: tenant.name for tenant in policy.spec.tenants}


def _upstreams(policy: Policy) -> dict[str, str]:
    namespace = policy.key.namespace
    return {upstream_address(u.url, namespace=namespace): u.name for u in policy.spec.gateway.upstreams}


def _shared(
    policy: Policy, others: Iterable[Policy], claims: Claims, *, reason: Reason, field: str, remedy: str
) -> Iterator[Problem]:
    mine = claims(policy)
    named = defaultdict(list)
    for other in sorted(others, key=lambda other: other.key):
        for claimed in mine.keys() & claims(other).keys():
            named[mine[claimed]].append(f"{other.key.namespace}/{other.key.name}")
    if named:
        listed = [f"{name} (also in {some(holders, most=_NAMED)})" for name, holders in sorted(named.items())]
        message = f"{field}: {some(listed, most=_NAMED)}: {remedy}"
        yield Problem(reason=reason, severity=Severity.DEGRADED, message=message)
