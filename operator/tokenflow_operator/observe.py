"""Reads what a plan depends on: the resource, its children and pods, and its hint service."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.errors import ForbiddenError, HintServiceError, HintServiceRefusedError, NotFoundError
from tokenflow_operator.hint_service import HintService
from tokenflow_operator.keys import OWNER_LABEL, Key, key_of
from tokenflow_operator.kube import FIELD_MANAGER, Kube, Manifest, ObjectRef
from tokenflow_operator.kube.kinds import (
    CHILDREN,
    CONTROLLER_REVISION,
    NODE,
    OPTIONAL,
    PACING_POLICY,
    POD,
    TELEMETRY_AGENT,
)
from tokenflow_operator.kube.objects import kind_of, ref_of, status_written_at
from tokenflow_operator.plan import hintsvc, names
from tokenflow_operator.plan.pods import ready_pods
from tokenflow_operator.plan.runtime import MAX_POLICIES_PER_AGENT, policies_of
from tokenflow_operator.snapshot import (
    Agent,
    AgentSnapshot,
    Cluster,
    HintServiceState,
    InvalidSnapshot,
    Policy,
    PolicySnapshot,
    Resource,
    Snapshot,
)

# To ask for a name that does not resolve yet would make the resolver remember that it does not.
_NOBODY_READY: Final = HintServiceState(error="no replica is ready")

_log: Final = logging.getLogger(__name__)

SpecT = TypeVar("SpecT", PacingPolicySpec, TelemetryAgentSpec)


class Observer:
    """Takes snapshots."""

    def __init__(self, *, kube: Kube, hint_service: HintService, namespace: str) -> None:
        """Observe.

        Args:
            kube: the cluster.
            hint_service: the policies' hint services.
            namespace: the only one to look after; all of them for an empty name.
        """
        self._kube = kube
        self._hint_service = hint_service
        self._namespace = namespace

    async def observe(self, key: Key) -> Snapshot | None:
        """Return what a resource's plan depends on; nothing if it is gone or going.

        Raises:
            KubeError: the cluster could not be read.
        """
        try:
            return await self._observe(key)
        except ExceptionGroup as group:
            raise _first(group) from group

    async def _observe(self, key: Key) -> Snapshot | None:
        try:
            manifest = await self._kube.get(key.served_as, namespace=key.namespace, name=key.name)
        except NotFoundError:
            return None
        if "deletionTimestamp" in manifest["metadata"]:
            return None
        try:
            if key.kind == PACING_POLICY.kind:
                return await self._policy(_resource(manifest, PacingPolicySpec))
            return await self._agent(_resource(manifest, TelemetryAgentSpec))
        except ValidationError as error:
            meta, status = manifest["metadata"], manifest.get("status", {})
            return InvalidSnapshot(
                key=key, uid=meta["uid"], generation=meta["generation"], status=status, error=_words(error)
            )

    async def _policy(self, policy: Policy) -> PolicySnapshot:
        key = policy.key
        expected = names.policy_children(key.name, policy.spec.hint_service)
        async with asyncio.TaskGroup() as group:
            policies = group.create_task(self._policies())
            agents = group.create_task(self._agents())
            cluster = group.create_task(self._cluster(key, expected))
        somebody_ready = ready_pods(cluster.result().pods, component=hintsvc.COMPONENT)
        state = await self._state(policy) if somebody_ready else _NOBODY_READY
        return PolicySnapshot(
            policy=policy,
            policies=policies.result(),
            agents=agents.result(),
            cluster=cluster.result(),
            hint_service=state,
        )

    async def _agent(self, agent: Agent) -> AgentSnapshot:
        key = agent.key
        policies = await self._policies()
        served = policies_of(agent, policies)[:MAX_POLICIES_PER_AGENT]
        answering = [policy for policy in served if policy.status.get("replicas")]
        async with asyncio.TaskGroup() as group:
            cluster = group.create_task(self._cluster(key, names.agent_children(key.name)))
            agents = group.create_task(self._agents())
            nodes = group.create_task(self._nodes())
            revisions = group.create_task(
                self._kube.list(CONTROLLER_REVISION, namespace=key.namespace, labels=_labels(key))
            )
            states = [group.create_task(self._state(policy)) for policy in answering]
        return AgentSnapshot(
            agent=agent,
            policies=policies,
            agents=agents.result(),
            nodes=nodes.result(),
            revisions=tuple(revisions.result()),
            cluster=cluster.result(),
            hint_services=tuple(state.result() for state in states),
        )

    async def _cluster(self, key: Key, expected: Iterable[ObjectRef]) -> Cluster:
        served = await self._served()
        kinds = [kind for kind in CHILDREN if not kind.optional or kind.kind in served]
        async with asyncio.TaskGroup() as group:
            *lists, pods = [
                group.create_task(self._kube.list(kind, namespace=key.namespace, labels=_labels(key)))
                for kind in (*kinds, POD)
            ]
        children = {ref_of(child): child for listed in lists for child in listed.result()}
        async with asyncio.TaskGroup() as group:
            missing = [group.create_task(self._find(key.namespace, ref)) for ref in expected if ref not in children]
        children |= {ref_of(other): other for task in missing if (other := task.result()) is not None}
        return Cluster(children=children, pods=tuple(pods.result()), served=served)

    async def _served(self) -> frozenset[str]:
        """Return the optional kinds that the API serves."""
        groups = [await self._kube.resources(version) for version in sorted({kind.api_version for kind in OPTIONAL})]
        return frozenset(kind.kind for kind in OPTIONAL if any(kind.plural in group for group in groups))

    async def _nodes(self) -> tuple[Manifest, ...] | None:
        try:
            return tuple(await self._kube.list(NODE, namespace=""))
        except ForbiddenError as error:
            _log.info("nodes cannot be read", extra={"cause": str(error)})
            return None

    async def _find(self, namespace: str, ref: ObjectRef) -> Manifest | None:
        try:
            return await self._kube.get(kind_of(ref), namespace=namespace, name=ref.name)
        except NotFoundError:
            return None

    async def _policies(self) -> tuple[Policy, ...]:
        manifests = await self._kube.list(PACING_POLICY, namespace=self._namespace)
        return _readable(manifests, PacingPolicySpec)

    async def _agents(self) -> tuple[Agent, ...]:
        manifests = await self._kube.list(TELEMETRY_AGENT, namespace=self._namespace)
        return _readable(manifests, TelemetryAgentSpec)

    async def _state(self, policy: Policy) -> HintServiceState:
        security = policy.spec.security
        address = names.hint_service_url(policy.key, security)
        try:
            return HintServiceState(view=await self._hint_service.view(address, authorities=security.ca_bundle))
        except HintServiceError as error:
            return HintServiceState(error=str(error), refused=isinstance(error, HintServiceRefusedError))


def _labels(key: Key) -> str:
    return f"{OWNER_LABEL}={key.owner_label}"


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return one of the errors that ended the requests made together; the others were cancelled by it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _readable(manifests: Iterable[Manifest], model: type[SpecT]) -> tuple[Resource[SpecT], ...]:
    """Return the resources that can be read and stay; the others' own passes say what is wrong with them."""
    resources = []
    for manifest in manifests:
        if "deletionTimestamp" in manifest["metadata"]:
            continue
        try:
            resources.append(_resource(manifest, model))
        except ValidationError as error:
            _log.warning("left out of its neighbours' plans", extra={"key": str(key_of(manifest)), "cause": str(error)})
    return tuple(resources)


def _resource(manifest: Manifest, model: type[SpecT]) -> Resource[SpecT]:
    meta = manifest["metadata"]
    return Resource(
        key=key_of(manifest),
        uid=meta["uid"],
        generation=meta["generation"],
        spec=model.model_validate(manifest.get("spec", {})),
        created_at=meta["creationTimestamp"],
        status=manifest.get("status", {}),
        status_written_at=status_written_at(manifest, manager=FIELD_MANAGER),
        annotations=meta.get("annotations", {}),
    )


def _words(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in ("spec", *first["loc"]))
    return f"{where}: {first['msg']}"
