"""Policies and agents by the hundred, as teams of one cluster would have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from e2e.bench.operator.api import Manifest
from e2e.bench.operator.site import POOL_LABEL
from tokenflow_api.meta import API_VERSION
from tokenflow_operator.kube.kinds import PACING_POLICY, TELEMETRY_AGENT
from tokenflow_operator.plan.runtime import MAX_POLICIES_PER_AGENT

AGENT: Final = "nodes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Population:
    """So many of everything.

    Attributes:
        nodes: fake ones, shared out among the teams.
        teams: namespaces, each with an agent for its own nodes.
        policies: of each team; as many name the agent as may.
        tenants: of each policy.
    """

    nodes: int
    teams: int
    policies: int
    tenants: int

    @property
    def namespaces(self) -> list[str]:
        """One for each team."""
        return [f"team-{number}" for number in range(self.teams)]

    @property
    def resources(self) -> int:
        """Number of policies and agents."""
        return self.teams * (self.policies + 1)

    @property
    def words(self) -> str:
        """Say how many there are."""
        policies = self.teams * self.policies
        return (
            f"{self.nodes:,} nodes, {self.teams} TelemetryAgents, {policies} policies of"
            f" {policies * self.tenants:,} tenants in {self.teams} namespaces"
        )

    def agents(self) -> Iterator[Manifest]:
        """Yield the TelemetryAgents."""
        for number, namespace in enumerate(self.namespaces):
            spec = {"nodeSelector": {POOL_LABEL: str(number)}}
            yield _resource(TELEMETRY_AGENT.kind, namespace, AGENT, spec)

    def policy_names(self) -> list[tuple[str, str]]:
        """Return the namespace and the name of each policy."""
        return [(team, f"policy-{number}") for team in self.namespaces for number in range(self.policies)]

    def pacing_policies(self) -> Iterator[Manifest]:
        """Yield the PacingPolicies."""
        for index, (namespace, name) in enumerate(self.policy_names()):
            named = [{"name": AGENT}] if index % self.policies < MAX_POLICIES_PER_AGENT else []
            spec = {
                "telemetry": {"agents": named},
                "tenants": [
                    {"name": f"{name}-tenant-{tenant}", "tokensPerMinute": 10_000, "requestsPerMinute": 100}
                    for tenant in range(self.tenants)
                ],
                "hintService": {"replicas": 3, "redis": {"embedded": {}}},
                "gateway": {"replicas": 2, "upstreams": [{"name": "llm", "url": f"http://{name}.{namespace}:8000"}]},
            }
            yield _resource(PACING_POLICY.kind, namespace, name, spec)


def _resource(kind: str, namespace: str, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }
