"""One pass: what is asked, what is written, and what is left alone."""

import dataclasses
from typing import Any

import pytest

from tests.operator.builders import INSTALLATION, NOW, example, view
from tokenflow_operator.cache import Cache
from tokenflow_operator.contests import Contests
from tokenflow_operator.errors import FieldClaim, FieldConflictError, NotFoundError
from tokenflow_operator.execute import Executor
from tokenflow_operator.feed import Feed
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kind
from tokenflow_operator.kube.kinds import PACING_POLICY, POD, SERVICE, TELEMETRY_AGENT
from tokenflow_operator.observe import Observer
from tokenflow_operator.polls import Target
from tokenflow_operator.reconcile import Reconciler
from tokenflow_operator.snapshot import HintServiceState
from tokenflow_operator.workqueue import WorkQueue

DEMO = Key(kind="PacingPolicy", namespace="default", name="demo")
NODES = Key(kind="TelemetryAgent", namespace="default", name="nodes")


class FakeKube:
    """An API server of the simplest kind: what is applied is there, and what is asked for is noted down."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[str] = []
        self.conflict: FieldConflictError | None = None
        self.version = 100

    def put(self, kind: Kind, name: str, **content: Any) -> dict[str, Any]:
        self.version += 1
        meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
        times = {"creationTimestamp": "2025-12-31T00:00:00Z", "resourceVersion": str(self.version)}
        metadata = {"generation": 1, **content.pop("metadata", {}), **meta, **times}
        manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}
        self.objects[kind.kind, name] = manifest
        return manifest

    async def get(self, kind: Kind, *, name: str, **_: str) -> dict[str, Any]:
        self.asked.append(f"get {kind.kind}/{name}")
        if (kind.kind, name) not in self.objects:
            raise NotFoundError(name)
        return self.objects[kind.kind, name]

    async def apply(
        self, kind: Kind, manifest: dict[str, Any], *, subresource: str = "", force: bool = False
    ) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        self.asked.append(f"apply {kind.kind}/{name}{subresource and f' {subresource}'}")
        if self.conflict is not None and not force:
            raise self.conflict
        before = self.objects.get((kind.kind, name), {})
        content = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
        old = {key: value for key, value in before.items() if key not in ("apiVersion", "kind", "metadata")}
        return self.put(
            kind, name, metadata={**before.get("metadata", {}), **manifest["metadata"]}, **{**old, **content}
        )


class FakePolls:
    def __init__(self) -> None:
        self.known = HintServiceState(view=view())
        self.targets: list[Target] = []

    def state(self, target: Target) -> HintServiceState:
        self.targets.append(target)
        return self.known

    def forget(self, policy: Key) -> None:
        self.targets = [target for target in self.targets if target.policy != policy]


class Silent:
    """In place of the recorder and of the dispatcher."""

    async def record(self, *_: object) -> None: ...

    def states(self, _: Key) -> dict[str, Any]:
        return {}

    def take(self, _: object) -> None: ...

    def forget(self, _: Key) -> None: ...


class Setup:
    def __init__(self) -> None:
        self.kube, self.cache, self.polls = FakeKube(), Cache(), FakePolls()
        self.queue = WorkQueue[Key]()
        feed = Feed(self.cache, self.queue)
        feed.open()
        observer = Observer(cache=self.cache, polls=self.polls, kube=self.kube, nodes=False)
        self.reconciler = Reconciler(
            kube=self.kube,  # type: ignore[arg-type]
            feed=feed,
            observer=observer,
            executor=Executor(kube=self.kube, feed=feed, contests=Contests()),  # type: ignore[arg-type]
            recorder=Silent(),  # type: ignore[arg-type]
            dispatcher=Silent(),  # type: ignore[arg-type]
            installation=INSTALLATION,
            now=lambda: NOW,
        )
        policy = self.kube.put(PACING_POLICY, "demo", spec=example("pacingpolicy.yaml"))
        self.cache.put(PACING_POLICY, policy)
        agent = self.kube.put(TELEMETRY_AGENT, "nodes", spec=example("telemetryagent.yaml"))
        self.cache.put(TELEMETRY_AGENT, agent)

    async def asks(self) -> list[str]:
        self.kube.asked.clear()
        await self.reconciler.reconcile(DEMO)
        return list(self.kube.asked)

    def queued(self) -> set[Key]:
        return set(iter(self.queue.take, None))

    def ready_hint_service(self) -> None:
        labels = {"tokenflow.io/owner": "pp.demo", "app.kubernetes.io/component": "hintsvc"}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.cache.put(POD, self.kube.put(POD, "demo-hintsvc-0", metadata={"labels": labels}, spec={}, status=ready))


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_the_first_pass_makes_all_and_the_next_asks_nothing(setup: Setup) -> None:
    first = await setup.asks()
    assert first[0] == "get PacingPolicy/demo"
    assert "apply Deployment/demo-gateway" in first
    assert first[-1] == "apply PacingPolicy/demo status"
    assert not any(line.startswith("list") for line in first)
    assert await setup.asks() == []


async def test_only_what_drifted_is_applied(setup: Setup) -> None:
    await setup.asks()
    edited = setup.kube.objects["Service", "demo-gateway"]
    setup.cache.put(SERVICE, {**edited, "metadata": {**edited["metadata"], "resourceVersion": "999"}, "spec": {}})
    assert await setup.asks() == ["apply Service/demo-gateway"]


async def test_nothing_is_made_for_a_policy_whose_end_was_not_told(setup: Setup) -> None:
    del setup.kube.objects["PacingPolicy", "demo"]
    assert await setup.asks() == ["get PacingPolicy/demo"]
    assert await setup.asks() == []


async def test_nothing_is_made_for_a_policy_that_was_made_anew(setup: Setup) -> None:
    setup.kube.objects["PacingPolicy", "demo"]["metadata"]["uid"] = "another"
    assert await setup.asks() == ["get PacingPolicy/demo"]


async def test_the_end_of_a_policy_that_was_not_told_is_told_to_its_agents(setup: Setup) -> None:
    del setup.kube.objects["PacingPolicy", "demo"]
    await setup.asks()
    assert NODES in setup.queued()


async def test_a_policy_that_is_edited_during_its_pass_is_looked_at_again(setup: Setup) -> None:
    # The answer to the write of the status tells of the edit before any watch does.
    stored = setup.kube.objects["PacingPolicy", "demo"]
    stored["spec"]["tenants"][0]["weight"] = 9
    stored["metadata"]["generation"] = 2
    await setup.asks()
    assert DEMO in setup.queued()
    assert "apply ConfigMap/demo-runtime" in await setup.asks()


async def test_what_is_said_of_an_agent_is_told_to_the_policies_that_name_it(setup: Setup) -> None:
    await setup.reconciler.reconcile(NODES)
    assert DEMO in setup.queued()


async def test_the_name_of_a_stranger_is_left_to_it(setup: Setup) -> None:
    setup.kube.put(SERVICE, "demo-gateway", spec={"ports": []})
    asked = await setup.asks()
    assert "get Service/demo-gateway" in asked
    assert "apply Service/demo-gateway" not in asked
    ready = setup.kube.objects["PacingPolicy", "demo"]["status"]["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "Conflict")


async def test_a_field_that_another_declares_is_told_in_the_status(setup: Setup) -> None:
    claim = FieldClaim(field=".spec.replicas", manager="argocd", declared=True)
    setup.kube.conflict = FieldConflictError("conflict", claims=(claim,))
    await setup.asks()
    ready = setup.kube.objects["PacingPolicy", "demo"]["status"]["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "FieldConflict")
    assert "'argocd'" in ready["message"]


async def test_while_nothing_is_known_of_the_hint_service_nothing_is_said(setup: Setup) -> None:
    setup.ready_hint_service()
    setup.polls.known = HintServiceState(pending=True)
    asked = await setup.asks()
    assert "apply Deployment/demo-gateway" in asked
    assert "apply PacingPolicy/demo status" not in asked


async def test_the_hint_service_is_asked_once_a_replica_is_ready(setup: Setup) -> None:
    await setup.asks()
    assert setup.polls.targets == []
    setup.ready_hint_service()
    await setup.asks()
    (target,) = setup.polls.targets
    assert dataclasses.replace(target, authorities="") == Target(
        policy=DEMO,
        address="http://demo-hintsvc.default.svc:8080",
        authorities="",
        generation=1,
        replicas=frozenset({"demo-hintsvc-0"}),
        hurried=False,
    )
