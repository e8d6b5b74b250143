"""Whose plans a change concerns: the plan of the owner, and those that read of it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tokenflow_operator.cache import Cache, Change
from tokenflow_operator.keys import OWNER_LABEL, Key, key_of, owner_of
from tokenflow_operator.kube import Manifest
from tokenflow_operator.kube.kinds import NODE, PACING_POLICY, TELEMETRY_AGENT
from tokenflow_operator.plan.claims import upstream_address

_TOLD_BY_THE_OPERATOR: Final = frozenset({"status"})
_UNSPOKEN_METADATA: Final = frozenset({"managedFields"})

_Claim = tuple[str, str, str]
"""What is claimed, in which namespace if that matters, and its name."""


def concerned(change: Change, cache: Cache) -> set[Key]:
    """Return the keys of the resources whose plans may differ after a change."""
    if change.kind == NODE:
        return _all_agents(cache)
    states = [state for state in (change.before, change.after) if state is not None]
    if change.kind not in (PACING_POLICY, TELEMETRY_AGENT):
        return {owner for state in states if (owner := _owner(state)) is not None}
    own = {key_of(state) for state in states}
    same_wish = _wish(change.before) == _wish(change.after)
    if change.kind == PACING_POLICY:
        return own if same_wish else own.union(*map(_named_agents, states), _neighbours(states, cache))
    # Policies tell how the agents fare that they name.
    return own.union(_naming(own, cache), () if same_wish else _all_agents(cache))


def reading_of(policy: Key, cache: Cache) -> set[Key]:
    """Return the agents whose plans read what a policy's hint service says."""
    manifest = cache.get(PACING_POLICY, namespace=policy.namespace, name=policy.name)
    return _named_agents(manifest) if manifest else set()


def everyone(cache: Cache) -> list[Key]:
    """Return the keys of all resources."""
    kinds = (PACING_POLICY, TELEMETRY_AGENT)
    return [Key(kind=kind.kind, namespace=ns, name=name) for kind in kinds for ns, name in cache.names(kind)]


def _owner(child: Manifest) -> Key | None:
    meta = child["metadata"]
    return owner_of(namespace=meta.get("namespace", ""), label=meta.get("labels", {}).get(OWNER_LABEL, ""))


def _wish(resource: Manifest | None) -> Manifest | None:
    """Return what a resource asks for, and not what is said of it."""
    if resource is None:
        return None
    metadata = {key: value for key, value in resource["metadata"].items() if key not in _UNSPOKEN_METADATA}
    return {**{key: value for key, value in resource.items() if key not in _TOLD_BY_THE_OPERATOR}, "metadata": metadata}


def _all_agents(cache: Cache) -> set[Key]:
    return {Key(kind=TELEMETRY_AGENT.kind, namespace=ns, name=name) for ns, name in cache.names(TELEMETRY_AGENT)}


def _named_agents(policy: Manifest) -> set[Key]:
    namespace = policy["metadata"]["namespace"]
    named = _items(policy, "telemetry", "agents")
    return {Key(kind=TELEMETRY_AGENT.kind, namespace=namespace, name=agent.get("name", "")) for agent in named}


def _naming(agents: set[Key], cache: Cache) -> Iterator[Key]:
    return (key_of(policy) for policy in cache.all(PACING_POLICY) if not agents.isdisjoint(_named_agents(policy)))


def _neighbours(states: Sequence[Manifest], cache: Cache) -> Iterator[Key]:
    """Yield the policies that claim what one of the states claims, or name its agents: each tells them of all."""
    claims = set[_Claim]().union(*map(_claims, states))
    agents = set[Key]().union(*map(_named_agents, states))
    for policy in cache.all(PACING_POLICY):
        if not (claims.isdisjoint(_claims(policy)) and agents.isdisjoint(_named_agents(policy))):
            yield key_of(policy)


def _claims(policy: Manifest) -> set[_Claim]:
    """Return what a policy may dispute with others: tenants within its namespace, and upstreams anywhere."""
    namespace = policy["metadata"]["namespace"]
    return {
        *(("tenant", namespace, tenant.get("name", "")) for tenant in _items(policy, "tenants")),
        *(("upstream", "", _address(u.get("url", ""), namespace)) for u in _items(policy, "gateway", "upstreams")),
    }


def _address(url: str, namespace: str) -> str:
    try:
        return upstream_address(url, namespace=namespace)
    except ValueError:
        # It is no URL, and is nobody else's either.
        return url


def _items(policy: Manifest, *path: str) -> list[dict[str, Any]]:
    value: Any = policy.get("spec", {})
    for part in path:
        value = value.get(part, {})
    return value or []
