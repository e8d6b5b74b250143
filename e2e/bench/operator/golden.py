"""What the cluster must come to, by the plan alone, and what there still is to do until then."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, TypeVar

from e2e.bench.operator.api import Api, Manifest
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.keys import OWNER_LABEL, key_of
from tokenflow_operator.kube.kinds import CHILDREN, PACING_POLICY, TELEMETRY_AGENT
from tokenflow_operator.kube.objects import ObjectRef, ref_of
from tokenflow_operator.plan import plan
from tokenflow_operator.plan.drift import holds
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot, Cluster, HintServiceState, PolicySnapshot, Resource

SpecT = TypeVar("SpecT", PacingPolicySpec, TelemetryAgentSpec)

_EMPTY: Final = Cluster(children={})
_KINDS: Final = [kind for kind in CHILDREN if not kind.optional]


async def remaining(api: Api, *, namespace: str, installation: Installation) -> list[str]:
    """Return how the objects of a namespace differ from what its resources ask for; nothing once all is as planned.

    What they ask for is the plan of the same resources in an empty cluster, so that nothing of it depends on what
    was before.
    """
    policies, _ = await api.list(PACING_POLICY, namespace=namespace)
    agents, _ = await api.list(TELEMETRY_AGENT, namespace=namespace)
    wanted = {ref_of(manifest): manifest for manifest in _rendered(policies, agents, installation)}
    present: dict[ObjectRef, Manifest] = {}
    for kind in _KINDS:
        children, _ = await api.list(kind, namespace=namespace, labels=OWNER_LABEL)
        present |= {ref_of(child): child for child in children if "deletionTimestamp" not in child["metadata"]}
    return [
        *(f"{ref} is missing" for ref in wanted.keys() - present.keys()),
        *(f"{ref} is left over" for ref in present.keys() - wanted.keys()),
        *(f"{ref} is not as planned" for ref in wanted.keys() & present.keys() if not holds(wanted[ref], present[ref])),
        *(f"{key_of(one)} is not {word}" for one in (*policies, *agents) for word in _unsaid(one)),
    ]


def _rendered(policies: list[Manifest], agents: list[Manifest], installation: Installation) -> Iterator[Manifest]:
    known_policies = tuple(_resource(policy, PacingPolicySpec) for policy in policies)
    known_agents = tuple(_resource(agent, TelemetryAgentSpec) for agent in agents)
    now = datetime.now(UTC)
    for policy in known_policies:
        snapshot = PolicySnapshot(
            policy=policy,
            policies=known_policies,
            agents=known_agents,
            cluster=_EMPTY,
            hint_service=HintServiceState(),
        )
        yield from plan(snapshot, installation, now=now).apply
    for agent in known_agents:
        yield from plan(
            AgentSnapshot(
                agent=agent,
                policies=known_policies,
                agents=known_agents,
                nodes=(),
                revisions=(),
                cluster=_EMPTY,
                hint_services=(),
            ),
            installation,
            now=now,
        ).apply


def _resource(manifest: Manifest, model: type[SpecT]) -> Resource[SpecT]:
    meta = manifest["metadata"]
    return Resource(
        key=key_of(manifest),
        uid=meta["uid"],
        generation=meta["generation"],
        spec=model.model_validate(manifest["spec"]),
        created_at=meta["creationTimestamp"],
        status={},
    )


def _unsaid(resource: Manifest) -> Iterator[str]:
    """Yield what the status of a resource does not say yet."""
    status = resource.get("status", {})
    if status.get("observedGeneration") != resource["metadata"]["generation"]:
        yield "judged at its generation"
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
    if conditions.get("Ready") != "True":
        yield "ready"
