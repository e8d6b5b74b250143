"""The documents that the programs run by, in their ConfigMaps."""

from collections.abc import Iterable, Mapping
from typing import Final

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import Grant, Role, RuntimeConfig
from tokenflow_api.telemetry import AgentConfig, IngestAddress
from tokenflow_operator.keys import Key
from tokenflow_operator.plan import names
from tokenflow_operator.settings import Identity
from tokenflow_operator.snapshot import Agent, Policy

MAX_POLICIES_PER_AGENT: Final = 8
_AS_ASKED_FOR: Final[Mapping[Key, str]] = {}


def policies_of(agent: Agent, policies: Iterable[Policy]) -> list[Policy]:
    """Return the policies that name the agent, the oldest first."""
    naming = (
        policy
        for policy in policies
        if policy.key.namespace == agent.key.namespace
        and any(reference.name == agent.key.name for reference in policy.spec.telemetry.agents)
    )
    return sorted(naming, key=lambda policy: (policy.created_at, policy.key))


def agent_config(
    agent: Agent, policies: Iterable[Policy], *, addresses: Mapping[Key, str] = _AS_ASKED_FOR
) -> AgentConfig:
    """Return what the agent runs by: its spec, and where it delivers.

    Args:
        agent: whose config it is.
        policies: all of them.
        addresses: where hint services answer at present; for a policy without one, where it is to answer.
    """
    served = policies_of(agent, policies)[:MAX_POLICIES_PER_AGENT]
    return AgentConfig(
        namespace=agent.key.namespace,
        name=agent.key.name,
        generation=agent.generation,
        spec=agent.spec,
        ingest=[
            IngestAddress(
                policy=policy.key.name,
                url=addresses.get(policy.key) or names.hint_service_url(policy.key, names.scheme(policy.spec.security)),
                authorities=policy.spec.security.ca_bundle,
            )
            for policy in served
        ],
    )


def tls_secrets(specs: Mapping[str, PacingPolicySpec]) -> dict[str, str]:
    """Return the name of the TLS Secret of each policy that has one."""
    references = {policy: spec.security.tls_secret_ref for policy, spec in specs.items()}
    return {policy: reference.name for policy, reference in references.items() if reference is not None}


def named_agents(policy: Policy, agents: Iterable[Agent]) -> list[Agent]:
    """Return the agents that the policy names and that exist, by name."""
    wanted = {reference.name for reference in policy.spec.telemetry.agents}
    near = (agent for agent in agents if agent.key.namespace == policy.key.namespace)
    return sorted((agent for agent in near if agent.key.name in wanted), key=lambda agent: agent.key.name)


def runtime_config(
    policy: Policy, *, agents: Iterable[Agent], policies: Iterable[Policy], operator: Identity
) -> RuntimeConfig:
    """Return what the policy's hint service and gateway run by."""
    named = named_agents(policy, agents)
    policies = tuple(policies)
    own = policy.key.namespace
    return RuntimeConfig(
        namespace=own,
        name=policy.key.name,
        uid=policy.uid,
        generation=policy.generation,
        spec=policy.spec,
        agents=[agent_config(agent, policies) for agent in named],
        grants=[
            *(
                Grant(namespace=own, service_account=names.agent(name), role=Role.AGENT, agent=name)
                for name in (agent.key.name for agent in named)
            ),
            Grant(namespace=own, service_account=names.gateway(policy.key.name), role=Role.GATEWAY),
            Grant(namespace=operator.namespace, service_account=operator.service_account, role=Role.OPERATOR),
        ],
    )
