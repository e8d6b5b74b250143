"""Who may connect to a component's pods, where the cluster's network heeds NetworkPolicies."""

from collections.abc import Iterable, Mapping

from tokenflow_operator.kube.kinds import NETWORK_POLICY
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.objects import Owner


def open_to_clients(owner: Owner, name: str, component: str, *, ports: Iterable[int]) -> Manifest:
    """Return the policy of a component that serves anyone, in the cluster or not, at the given ports.

    Its metrics name tenants: they are for pods of the cluster alone. Where it connects to is not confined.
    """
    spec = {
        "podSelector": _pods(owner, component),
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [_tcp(port) for port in ports]},
            {"from": [{"namespaceSelector": {}}], "ports": [_tcp(names.METRICS_PORT)]},
        ],
    }
    return owner.object(NETWORK_POLICY, name, component, spec=spec)


def kept_for(owner: Owner, name: str, component: str, *, client: str, port: int) -> Manifest:
    """Return the policy of a component that serves one other component of the same owner, and connects to nobody."""
    spec = {
        "podSelector": _pods(owner, component),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": _pods(owner, client)}], "ports": [_tcp(port)]}],
    }
    return owner.object(NETWORK_POLICY, name, component, spec=spec)


def _pods(owner: Owner, component: str) -> Mapping[str, Manifest]:
    return {"matchLabels": owner.selector(component)}


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}
