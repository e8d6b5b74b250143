"""Which series belong to a policy.

Two labels keep policies apart: ``job`` and ``namespace``, as monitors of the Prometheus operator give them. Of agents
``job`` alone does: the ``namespace`` of their series is that of the pods that they measure.
"""

from dataclasses import dataclass

from tokenflow_api.pacing_policy import PacingPolicySpec, Thresholds
from tokenflow_operator.keys import Key
from tokenflow_operator.plan import names


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """A policy, as far as its alerts depend on it.

    Attributes:
        agents: names of the TelemetryAgents that it names.
    """

    policy: Key
    thresholds: Thresholds
    agents: tuple[str, ...]

    def hint_service(self, metric: str, *matchers: str) -> str:
        """Return the selector of a metric of the hint service."""
        return self._selector(metric, self._job(names.hintsvc(self.policy.name)), *matchers)

    def gateway(self, metric: str, *matchers: str) -> str:
        """Return the selector of a metric of the gateway."""
        return self._selector(metric, self._job(names.gateway(self.policy.name)), *matchers)

    def agent_jobs(self) -> list[str]:
        """Return the ``job`` of each agent."""
        return [agent_job(self.policy.namespace, agent) for agent in self.agents]

    def all_agents(self, metric: str, *matchers: str) -> str:
        """Return the selector of a metric of all agents that the policy names."""
        jobs = self.agent_jobs()
        one_of_them = f'job="{jobs[0]}"' if len(jobs) == 1 else f'job=~"{"|".join(jobs)}"'
        return self._selector(metric, one_of_them, *matchers)

    def _job(self, job: str) -> str:
        return f'namespace="{self.policy.namespace}",job="{job}"'

    @staticmethod
    def _selector(metric: str, *matchers: str) -> str:
        return f"{metric}{{{','.join(matchers)}}}"


def scope(policy: Key, spec: PacingPolicySpec) -> Scope:
    """Return the scope of a policy."""
    agents = sorted(reference.name for reference in spec.telemetry.agents)
    return Scope(policy=policy, thresholds=spec.thresholds, agents=tuple(agents))


def agent_job(namespace: str, agent: str) -> str:
    """Return the ``job`` of a TelemetryAgent's agents: namespace and name of their PodMonitor."""
    return f"{namespace}/{names.agent(agent)}"
