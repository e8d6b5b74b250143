"""Gathers what a plan depends on: the resource, its children and pods, and what its hint service says."""

from collections.abc import Sequence
from typing import Final, Protocol

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.tasks import together
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.cache import Cache
from tokenflow_operator.errors import NotFoundError
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kind, Manifest, ObjectRef
from tokenflow_operator.kube.kinds import CHILDREN, CONTROLLER_REVISION, PACING_POLICY, POD, TELEMETRY_AGENT
from tokenflow_operator.kube.objects import kind_of, ref_of
from tokenflow_operator.plan import Plan, hintsvc
from tokenflow_operator.plan.address import hint_service_address
from tokenflow_operator.plan.conditions import progressing_since
from tokenflow_operator.plan.pods import ready_pods
from tokenflow_operator.plan.runtime import MAX_POLICIES_PER_AGENT, named_agents, policies_of
from tokenflow_operator.polls import Target
from tokenflow_operator.resources import Nodes, Resources
from tokenflow_operator.snapshot import (
    Agent,
    AgentSnapshot,
    Cluster,
    HintServiceState,
    Known,
    Policy,
    PolicySnapshot,
    Resource,
    Snapshot,
)

# To ask for a name that does not resolve yet would make the resolver remember that it does not.
_NOBODY_READY: Final = HintServiceState(error="no replica is ready")


class States(Protocol):
    """The newest state of the policies' hint services."""

    def state(self, target: Target) -> HintServiceState:
        """Return what is known of a hint service, and keep asking it."""
        ...

    def forget(self, policy: Key) -> None:
        """Ask a policy's hint service no more."""
        ...


class Names(Protocol):
    """Objects by name, whoever's they are."""

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest:
        """Return one object.

        Raises:
            KubeError: among others NotFoundError.
        """
        ...


class Observer:
    """Takes snapshots, from memory alone."""

    def __init__(self, *, cache: Cache, polls: States, kube: Names, nodes: bool) -> None:
        """Observe.

        Args:
            cache: the cluster.
            polls: the state of the policies' hint services.
            kube: is asked only whether a name is taken.
            nodes: whether nodes may be read.
        """
        self._cache = cache
        self._polls = polls
        self._kube = kube
        self._nodes = Nodes(cache) if nodes else None
        self._policies = Resources(cache, PACING_POLICY, PacingPolicySpec)
        self._agents = Resources(cache, TELEMETRY_AGENT, TelemetryAgentSpec)

    def observe(self, key: Key) -> Snapshot | None:
        """Return what a resource's plan depends on; nothing if it is gone or going."""
        if key.kind != PACING_POLICY.kind:
            agent = self._agents.find(key)
            return self._agent(agent) if isinstance(agent, Resource) else agent
        policy = self._policies.find(key)
        if isinstance(policy, Resource):
            return self._policy(policy)
        self._polls.forget(key)
        return policy

    def known(self) -> Known:
        """Return all resources that can be read, and the nodes."""
        return Known(policies=self._policies.all(), agents=self._agents.all(), nodes=self._all_nodes())

    async def strangers(self, key: Key, planned: Plan) -> dict[ObjectRef, Manifest]:
        """Return what exists in the place of objects that a plan is about to make.

        It belongs to others, or has not reached the cache yet.

        Raises:
            KubeError: the cluster could not be read.
        """
        refs = self.missing(key, planned)
        answers = await together(*(self._find(key.namespace, ref) for ref in refs))
        return {ref: answer for ref, answer in zip(refs, answers, strict=True) if answer is not None}

    def missing(self, key: Key, planned: Plan) -> list[ObjectRef]:
        """Return which objects a plan is about to make."""
        refs = map(ref_of, planned.apply)
        return [ref for ref in refs if self._cache.get(kind_of(ref), namespace=key.namespace, name=ref.name) is None]

    async def _find(self, namespace: str, ref: ObjectRef) -> Manifest | None:
        try:
            return await self._kube.get(kind_of(ref), namespace=namespace, name=ref.name)
        except NotFoundError:
            return None

    def _policy(self, policy: Policy) -> PolicySnapshot:
        cluster = self._cluster(policy.key)
        return PolicySnapshot(
            policy=policy,
            policies=self._policies.all(),
            agents=self._agents.all(),
            cluster=cluster,
            hint_service=self._state(policy, cluster.pods, address=_address(policy, cluster.pods)),
        )

    def _agent(self, agent: Agent) -> AgentSnapshot:
        key = agent.key
        policies = self._policies.all()
        served = policies_of(agent, policies)[:MAX_POLICIES_PER_AGENT]
        pods = {policy.key: self._pods(policy.key) for policy in served}
        addresses = {policy.key: _address(policy, pods[policy.key]) for policy in served}
        return AgentSnapshot(
            agent=agent,
            policies=policies,
            agents=self._agents.all(),
            nodes=self._all_nodes(),
            revisions=tuple(self._cache.owned(CONTROLLER_REVISION, namespace=key.namespace, owner=key.owner_label)),
            cluster=self._cluster(key),
            hint_services=tuple(
                self._state(policy, pods[policy.key], address=addresses[policy.key]) for policy in served
            ),
            addresses=addresses,
        )

    def _all_nodes(self) -> tuple[Manifest, ...] | None:
        return self._nodes.all() if self._nodes else None

    def _cluster(self, key: Key) -> Cluster:
        children = {
            ref_of(child): child
            for kind in CHILDREN
            for child in self._cache.owned(kind, namespace=key.namespace, owner=key.owner_label)
        }
        return Cluster(
            children=children,
            pods=self._pods(key),
            served=frozenset(kind.kind for kind in self._cache.served),
        )

    def _pods(self, owner: Key) -> tuple[Manifest, ...]:
        return tuple(self._cache.owned(POD, namespace=owner.namespace, owner=owner.owner_label))

    def _state(self, policy: Policy, pods: Sequence[Manifest], *, address: str) -> HintServiceState:
        key = policy.key
        ready = ready_pods(pods, component=hintsvc.COMPONENT)
        if not ready:
            self._polls.forget(key)
            return _NOBODY_READY
        return self._polls.state(
            Target(
                policy=key,
                address=address,
                authorities=policy.spec.security.ca_bundle,
                generation=policy.generation,
                replicas=frozenset(ready),
                hurried=any(
                    progressing_since(agent.status) is not None for agent in named_agents(policy, self._agents.all())
                ),
            )
        )


def _address(policy: Policy, pods: Sequence[Manifest]) -> str:
    return hint_service_address(policy.key, policy.spec.security, pods)
