import copy
import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.builders import (
    INSTALLATION,
    NOW,
    NOW_MS,
    agent,
    agent_snapshot,
    condition,
    example,
    hint,
    plan_of,
    pod,
    policy,
    policy_snapshot,
    settled_agent,
    settled_policy,
    view,
)
from tokenflow_api.cluster import NodeReport
from tokenflow_api.hints import ModelReport
from tokenflow_api.modes import ModelMode
from tokenflow_api.pacing_policy import PacingPolicySpec, PacingPolicyStatus
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.telemetry import AgentConfig, Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec, TelemetryAgentStatus
from tokenflow_operator.kube.objects import ObjectRef, ref_of
from tokenflow_operator.plan import plan
from tokenflow_operator.plan.reasons import Reason
from tokenflow_operator.snapshot import (
    AgentSnapshot,
    Cluster,
    HintServiceState,
    InvalidSnapshot,
    PolicySnapshot,
    Refusal,
    Silence,
)


def _with(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    *parents, last = path.split(".")
    place = changed
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
    return changed


def _written(snapshot: Any) -> Any:
    """Return the snapshot as it is once its plan was carried out."""
    planned = plan_of(snapshot)
    assert planned.status is not None
    field = "policy" if hasattr(snapshot, "policy") else "agent"
    resource = dataclasses.replace(getattr(snapshot, field), status=planned.status, status_written_at=NOW)
    return dataclasses.replace(snapshot, **{field: resource})


@pytest.mark.parametrize("snapshot", [policy_snapshot(), agent_snapshot()], ids=["policy", "agent"])
def test_every_child_dies_with_its_owner(snapshot: Any) -> None:
    for manifest in plan_of(snapshot).apply:
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert owner["uid"].startswith("uid-")
        assert owner["controller"]
        assert not owner["blockOwnerDeletion"]


@pytest.mark.parametrize("snapshot", [settled_policy(), settled_agent()], ids=["policy", "agent"])
def test_nothing_is_written_when_nothing_changed(snapshot: Any) -> None:
    planned = plan_of(_written(snapshot), now=NOW + timedelta(hours=1))
    assert (planned.apply, planned.delete, planned.status, planned.notes) == ((), (), None, ())


@pytest.mark.parametrize("snapshot", [settled_policy(), settled_agent()], ids=["policy", "agent"])
def test_a_settled_resource_is_ready_for_its_generation(snapshot: Any) -> None:
    planned = plan_of(snapshot)
    assert condition(planned, "Ready")["status"] == "True"
    assert condition(planned, "Ready")["observedGeneration"] == 1
    assert condition(planned, "Progressing")["status"] == "False"
    assert condition(planned, "Degraded")["status"] == "False"


@pytest.mark.parametrize("snapshot", [settled_policy(), settled_agent()], ids=["policy", "agent"])
def test_the_status_keeps_to_the_contract(snapshot: Any) -> None:
    model = PacingPolicyStatus if hasattr(snapshot, "policy") else TelemetryAgentStatus
    status = plan_of(snapshot).status
    assert status is not None
    assert set(status) <= {field.alias for field in model.model_fields.values()}
    model.model_validate(status)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mode", "Shadow"),
        ("failureMode", "Deny"),
        ("telemetry.staleAfter", "9s"),
        ("pacing.maxTokensPerSecond", 99),
        ("thresholds.rttInflationPercent", 300),
        ("tenants", [{"name": "gold", "tokensPerMinute": 7}, {"name": "new"}]),
        ("gateway.timeouts.total", "20m"),
        ("gateway.upstreams", [{"name": "other", "url": "http://other"}]),
        ("security.requestsPerSecondPerIP", 7),
        ("observability.logLevel", "Debug"),
    ],
)
def test_a_setting_reaches_the_runtime_config_and_restarts_no_pod(path: str, value: Any) -> None:
    spec = PacingPolicySpec.model_validate(_with(example("pacingpolicy.yaml"), path, value))
    snapshot = settled_policy()
    changed = dataclasses.replace(snapshot, policy=policy(spec, generation=2), policies=(policy(spec, generation=2),))
    (config_map,) = plan_of(changed).apply
    document = RuntimeConfig.model_validate_json(config_map["data"]["runtime.json"])
    assert (document.generation, document.spec) == (2, spec)


@given(
    st.sampled_from(
        [
            ("interval", "5s"),
            ("ebpf", {"probes": ["ListenBacklog"], "backend": "SockDiag"}),
            ("ebpf", {"sampleOneIn": 16}),
            ("http", {"pathTemplates": ["/x"]}),
            ("http", {"redactHeaders": ["X-Customer"]}),
            ("gpu", {"mode": "Off"}),
            ("gpu", {"interval": "9s"}),
            ("spool", {"maxSize": "1Gi"}),
            ("observability", {"otlpEndpoint": "http://collector:4318", "logLevel": "Debug"}),
        ]
    )
)
def test_an_agents_setting_reaches_its_config_and_restarts_no_pod(change: tuple[str, Any]) -> None:
    spec = TelemetryAgentSpec.model_validate(example("telemetryagent.yaml") | dict([change]))
    (config_map,) = plan_of(dataclasses.replace(settled_agent(), agent=agent(spec, generation=2))).apply
    assert AgentConfig.model_validate_json(config_map["data"]["agent.json"]).spec == spec


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.example/agent:2"},
        {"security": "Privileged"},
        {"resources": {"limits": {"memory": "512Mi"}}},
        {"nodeSelector": {"pool": "gpu"}},
        {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_an_agents_pod_is_made_of_changes_its_template(change: dict[str, Any]) -> None:
    spec = TelemetryAgentSpec.model_validate(example("telemetryagent.yaml") | change)
    settled = settled_agent()
    applied = plan_of(dataclasses.replace(settled, agent=agent(spec, generation=2))).apply
    (daemon_set,) = (manifest for manifest in applied if manifest["kind"] == "DaemonSet")
    before = settled.cluster.children[ref_of(daemon_set)]
    assert daemon_set["spec"]["template"] != before["spec"]["template"]


def test_how_an_agent_rolls_out_restarts_no_pod() -> None:
    spec = TelemetryAgentSpec.model_validate(
        example("telemetryagent.yaml") | {"rollout": {"maxUnavailablePercent": 50}}
    )
    planned = plan_of(dataclasses.replace(settled_agent(), agent=agent(spec, generation=2)))
    assert {str(ref_of(manifest)) for manifest in planned.apply} == {"ConfigMap/nodes-agent"}
    assert planned.delete == ()


@pytest.mark.parametrize(
    ("path", "value", "child"),
    [
        ("hintService.replicas", 5, "Deployment/demo-hintsvc"),
        ("hintService.resources", {"limits": {"memory": "1Gi"}}, "Deployment/demo-hintsvc"),
        ("hintService.autoscaling", {"maxReplicas": 5}, "HorizontalPodAutoscaler/demo-hintsvc"),
        ("gateway.replicas", 5, "Deployment/demo-gateway"),
        ("gateway.resources", {"limits": {"memory": "1Gi"}}, "Deployment/demo-gateway"),
    ],
)
def test_a_workloads_field_reaches_its_workload_alone(path: str, value: Any, child: str) -> None:
    spec = PacingPolicySpec.model_validate(_with(example("pacingpolicy.yaml"), path, value))
    applied = plan_of(dataclasses.replace(settled_policy(), policy=policy(spec, generation=2))).apply
    assert {str(ref_of(manifest)) for manifest in applied} == {"ConfigMap/demo-runtime", child}


@pytest.mark.parametrize(
    ("path", "value", "child", "words"),
    [
        ("hintService.redis.embedded.storage", "5Gi", "PersistentVolumeClaim/demo-redis", "5Gi"),
        (
            "hintService.redis.embedded",
            {"storage": "1Gi", "storageClassName": "fast"},
            "PersistentVolumeClaim/demo-redis",
            "fast",
        ),
        ("hintService.redis", {"secretRef": {"name": "mine"}}, "Deployment/demo-hintsvc", "mine"),
        ("security.tlsSecretRef", {"name": "demo-tls"}, "Deployment/demo-hintsvc", "demo-tls"),
        ("security.tlsSecretRef", {"name": "demo-tls"}, "Deployment/demo-gateway", "demo-tls"),
        ("tenants", [{"name": "a", "apiKeysSecretRef": {"name": "a-keys"}}], "Deployment/demo-hintsvc", "a-keys"),
        ("tenants", [{"name": "a", "apiKeysSecretRef": {"name": "a-keys"}}], "Deployment/demo-gateway", "a-keys"),
    ],
)
def test_what_a_field_names_is_in_the_child_that_needs_it(path: str, value: Any, child: str, words: str) -> None:
    spec = PacingPolicySpec.model_validate(_with(example("pacingpolicy.yaml"), path, value))
    applied = plan_of(dataclasses.replace(settled_policy(), policy=policy(spec, generation=2))).apply
    (reached,) = (manifest for manifest in applied if str(ref_of(manifest)) == child)
    assert f"'{words}'" in str(reached["spec"])


def test_the_order_of_tenants_is_nothing_to_a_pod() -> None:
    tenants = [{"name": name, "apiKeysSecretRef": {"name": f"{name}-keys"}} for name in ("a", "b")]
    one, other = (
        policy(PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | {"tenants": order}), generation=2)
        for order in (tenants, tenants[::-1])
    )
    planned = plan_of(dataclasses.replace(settled_policy(one), policy=other, policies=(other,)))
    assert {str(ref_of(manifest)) for manifest in planned.apply} == {"ConfigMap/demo-runtime"}


@pytest.mark.parametrize("snapshot", [policy_snapshot(), agent_snapshot()], ids=["policy", "agent"])
def test_all_pods_pull_with_the_secrets_of_the_installation(snapshot: Any) -> None:
    images = dataclasses.replace(INSTALLATION.images, pull_secrets=("registry", "mirror"))
    planned = plan(snapshot, dataclasses.replace(INSTALLATION, images=images), now=NOW)
    pods = [m["spec"]["template"]["spec"] for m in planned.apply if m["kind"] in ("Deployment", "DaemonSet")]
    assert pods
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}] for pod in pods)


def test_an_object_of_someone_else_is_left_alone_and_reported() -> None:
    snapshot = settled_policy()
    foreign = {"kind": "Service", "metadata": {"name": "demo-gateway", "namespace": "default"}}
    children = {**snapshot.cluster.children, ObjectRef("Service", "demo-gateway"): foreign}
    planned = plan_of(dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, children=children)))
    assert planned.apply == planned.delete == ()
    assert condition(planned, "Ready")["reason"] == Reason.CONFLICT
    assert "Service/demo-gateway" in condition(planned, "Degraded")["message"]


def test_the_children_of_a_deleted_namesake_are_waited_out() -> None:
    snapshot = settled_policy()
    recreated = dataclasses.replace(policy(), uid="uid-new")
    planned = plan_of(dataclasses.replace(snapshot, policy=recreated))
    assert planned.apply == planned.delete == ()
    assert condition(planned, "Progressing")["reason"] == Reason.PREVIOUS_BEING_DELETED
    assert condition(planned, "Degraded")["status"] == "False"


def test_orphans_of_a_deleted_namesake_are_adopted() -> None:
    snapshot = settled_policy()
    children = copy.deepcopy(dict(snapshot.cluster.children))
    for child in children.values():
        del child["metadata"]["ownerReferences"]
    planned = plan_of(dataclasses.replace(snapshot, cluster=Cluster(children=children)))
    assert {ref_of(manifest) for manifest in planned.apply} == set(children)


def test_what_is_no_longer_asked_for_is_deleted() -> None:
    external = _with(example("pacingpolicy.yaml"), "hintService.redis", {"secretRef": {"name": "mine"}})
    spec = PacingPolicySpec.model_validate(external)
    before = dataclasses.replace(settled_policy(), policy=policy(spec, generation=2))
    assert not plan_of(before).delete, "the hint service has not left it yet"
    applied = {ref_of(manifest): manifest for manifest in plan_of(before).apply}
    children = dict(before.cluster.children)
    for ref, manifest in applied.items():
        children[ref] = {**manifest, "metadata": children[ref]["metadata"] | manifest["metadata"]} | {
            "status": children[ref].get("status", {})
        }
    after = dataclasses.replace(before, cluster=dataclasses.replace(before.cluster, children=children))
    assert {str(ref_of(child)) for child in plan_of(after).delete} == {
        "Deployment/demo-redis",
        "NetworkPolicy/demo-redis",
        "Service/demo-redis",
    }


def test_a_field_edited_by_hand_is_applied_again() -> None:
    snapshot = settled_policy()
    children = copy.deepcopy(dict(snapshot.cluster.children))
    children[ObjectRef("Deployment", "demo-gateway")]["spec"]["replicas"] = 0
    (manifest,) = plan_of(dataclasses.replace(snapshot, cluster=Cluster(children=children))).apply
    assert str(ref_of(manifest)) == "Deployment/demo-gateway"


def test_a_replica_that_refuses_the_configuration_is_named_with_its_reason() -> None:
    served = view()
    refusing = served.replicas[1].model_copy(update={"generation": 1, "error": "spec.tenants: too few"})
    behind = served.model_copy(update={"replicas": [served.replicas[0], refusing, served.replicas[2]]})
    planned = plan_of(settled_policy(hint_service=HintServiceState(view=behind)))
    ready = condition(planned, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ConfigRefused")
    assert "demo-hintsvc-1 says: spec.tenants: too few: let the images" in ready["message"]


def test_the_status_tells_of_the_model() -> None:
    served = view()
    assert served.snapshot is not None
    report = ModelReport(mode=ModelMode.CANARY, version="7", message="drifted: the law alone decides", drifted=True)
    snapshot = served.snapshot.model_copy(update={"model": report})
    told = served.model_copy(update={"snapshot": snapshot})
    planned = plan_of(settled_policy(hint_service=HintServiceState(view=told)))
    assert planned.status is not None
    assert planned.status["model"] == {"mode": "Canary", "version": "7", "message": "drifted: the law alone decides"}


def test_a_replica_behind_is_named_until_it_acknowledges() -> None:
    resource = policy(generation=2)
    late = view(generation=2).model_copy(
        update={"replicas": [r.model_copy(update={"generation": 1 + (i != 1)}) for i, r in enumerate(view().replicas)]}
    )
    snapshot = settled_policy(resource, hint_service=HintServiceState(view=late))
    planned = plan_of(snapshot)
    progressing = condition(planned, "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("True", Reason.REPLICAS_NOT_ACKNOWLEDGED)
    assert "demo-hintsvc-1" in progressing["message"]
    assert "demo-hintsvc-0" not in progressing["message"]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"agents": ()}, Reason.AGENT_NOT_FOUND, "spec.telemetry.agents names nodes"),
        ({"hint_service": HintServiceState(error="refused")}, Reason.HINT_SERVICE_UNREACHABLE, "demo-hintsvc"),
        (
            {"hint_service": HintServiceState(error="401", silence=Silence.REFUSED)},
            Reason.HINT_SERVICE_REFUSED,
            "token",
        ),
        ({"hint_service": HintServiceState(view=view(leader=""))}, Reason.NO_LEADER, "Redis"),
        (
            {"hint_service": HintServiceState(view=view().model_copy(update={"nodes": []}))},
            Reason.NO_TELEMETRY,
            "describe telemetryagent nodes",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, Reason) else "",
)
def test_what_is_degraded_is_named_with_a_remedy(changes: dict[str, Any], reason: Reason, words: str) -> None:
    planned = plan_of(settled_policy(**changes))
    degraded = condition(planned, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", reason)
    assert words in degraded["message"]
    assert reason in {note.reason for note in planned.notes}


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (("ImagePullBackOff", "no such image"), Reason.IMAGE_PULL_FAILED),
        (("CrashLoopBackOff", ""), Reason.PODS_FAILING),
        (("CreateContainerConfigError", 'secret "x" not found'), Reason.PODS_FAILING),
    ],
)
def test_a_pod_that_cannot_run_is_named(waiting: tuple[str, str], reason: Reason) -> None:
    snapshot = settled_policy()
    pods = (*snapshot.cluster.pods, pod("demo-gateway-7", "gateway", waiting=waiting))
    planned = plan_of(dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, pods=pods)))
    assert condition(planned, "Degraded")["reason"] == reason
    assert "demo-gateway-7" in condition(planned, "Degraded")["message"]


def test_a_refusal_of_the_api_is_reported_in_its_words() -> None:
    snapshot = settled_policy()
    refusal = Refusal(ref=ObjectRef("Deployment", "demo-gateway"), message="exceeded quota: small")
    cluster = dataclasses.replace(snapshot.cluster, refusals=(refusal,))
    planned = plan_of(dataclasses.replace(snapshot, cluster=cluster))
    assert condition(planned, "Ready")["reason"] == Reason.APPLY_REFUSED
    assert "exceeded quota: small" in condition(planned, "Ready")["message"]


def test_a_hint_service_that_starts_is_not_called_unreachable() -> None:
    snapshot = settled_policy(hint_service=HintServiceState(error="no replica is ready"))
    children = copy.deepcopy(dict(snapshot.cluster.children))
    children[ObjectRef("Deployment", "demo-hintsvc")]["status"]["availableReplicas"] = 0
    planned = plan_of(dataclasses.replace(snapshot, cluster=Cluster(children=children)))
    assert condition(planned, "Ready")["reason"] == Reason.HINT_SERVICE_STARTING
    assert condition(planned, "Degraded")["status"] == "False"


@pytest.mark.parametrize(
    ("age_s", "reason"), [(5, Reason.HINT_SERVICE_STARTING), (60, Reason.HINT_SERVICE_UNREACHABLE)]
)
def test_a_service_that_just_became_available_has_time_to_be_routed_to(age_s: int, reason: Reason) -> None:
    snapshot = settled_policy(hint_service=HintServiceState(error="connection refused"))
    planned = plan_of(_available_since_now(snapshot), now=NOW + timedelta(seconds=age_s))
    assert condition(planned, "Ready")["reason"] == reason


@pytest.mark.parametrize(("age_s", "degraded"), [(4, "False"), (11, "True")])
def test_agents_have_time_to_report_to_a_service_that_just_became_available(age_s: int, degraded: str) -> None:
    unheard = view().model_copy(update={"nodes": []})
    snapshot = settled_policy(hint_service=HintServiceState(view=unheard))
    planned = plan_of(_available_since_now(snapshot), now=NOW + timedelta(seconds=age_s))
    assert condition(planned, "Degraded")["status"] == degraded


def _available_since_now(snapshot: PolicySnapshot) -> PolicySnapshot:
    """Return the snapshot of a hint service that became available at ``NOW``."""
    children = copy.deepcopy(dict(snapshot.cluster.children))
    children[ObjectRef("Deployment", "demo-hintsvc")]["status"]["conditions"] = [
        {"type": "Available", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]
    return dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, children=children))


def test_reasons_are_named_as_they_are_written() -> None:
    for reason in Reason:
        assert reason.value == "".join(word.capitalize() for word in reason.name.split("_"))


def test_an_unreadable_spec_is_reported_and_nothing_is_touched() -> None:
    snapshot = InvalidSnapshot(key=policy().key, uid="uid-demo", generation=3, status={}, error="spec.mode: no such")
    planned = plan_of(snapshot)
    assert planned.apply == planned.delete == ()
    assert condition(planned, "Ready")["reason"] == Reason.INVALID_SPEC
    assert "spec.mode" in condition(planned, "Ready")["message"]


def test_numbers_alone_are_written_at_most_every_five_seconds() -> None:
    snapshot = _written(settled_policy())
    slower = dataclasses.replace(
        snapshot, hint_service=HintServiceState(view=view(hints=[hint("gold", rate=7.9, health=0.4)]))
    )
    assert plan_of(slower, now=NOW + timedelta(seconds=4)).status is None
    status = plan_of(slower, now=NOW + timedelta(seconds=5)).status
    assert status is not None
    assert status["tokensPerSecond"] == 7


def test_a_change_of_meaning_is_written_at_once() -> None:
    snapshot = dataclasses.replace(_written(settled_policy()), agents=())
    assert condition(plan_of(snapshot, now=NOW + timedelta(seconds=1)), "Degraded")["status"] == "True"


def test_other_last_words_of_an_agent_wait_for_the_next_write() -> None:
    def crashed(line: str, known: AgentSnapshot) -> AgentSnapshot:
        stuck = pod("nodes-agent-x", "agent", waiting=("CrashLoopBackOff", "")) | {"spec": {"nodeName": "node3"}}
        stuck["status"]["containerStatuses"][0]["lastState"] = {"terminated": {"exitCode": 1, "message": line}}
        return dataclasses.replace(known, cluster=dataclasses.replace(known.cluster, pods=(stuck,)))

    told = _written(crashed("at 12:00", settled_agent()))
    assert plan_of(crashed("at 12:01", told), now=NOW + timedelta(seconds=1)).status is None
    assert plan_of(crashed("at 12:01", told), now=NOW + timedelta(seconds=5)).status is not None


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    written = _written(settled_policy())
    later = NOW + timedelta(minutes=1)
    planned = plan_of(dataclasses.replace(written, agents=()), now=later)
    assert condition(planned, "Ready")["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert condition(planned, "Degraded")["lastTransitionTime"] == "2026-01-01T00:01:00Z"


def test_a_tenant_is_shown_at_its_worst_path_with_all_its_streams() -> None:
    hints = [
        hint("gold", rate=80, streams=5),
        hint("gold", path="llama/10.0.1.0/24", rate=6, health=0.25, streams=2),
        hint("gold", path="llama/10.0.2.0/24", rate=80, streams=3),
    ]
    status = plan_of(settled_policy(hint_service=HintServiceState(view=view(hints=hints)))).status
    assert status is not None
    (gold,) = status["tenants"]
    assert (gold["tokensPerSecond"], gold["healthPercent"], gold["activeStreams"]) == (6, 25, 5)


def test_an_agent_delivers_to_the_eight_oldest_policies_and_says_which_are_left_out() -> None:
    policies = tuple(
        dataclasses.replace(policy(name=f"p{i}"), created_at=f"2025-01-{10 - i:02}T00:00:00Z") for i in range(9)
    )
    planned = plan_of(dataclasses.replace(settled_agent(), policies=policies))
    (config_map,) = planned.apply
    config = AgentConfig.model_validate_json(config_map["data"]["agent.json"])
    assert [address.policy for address in config.ingest] == [f"p{i}" for i in range(8, 0, -1)]
    assert config.ingest[0].url == "http://p8-hintsvc.default.svc:8080"
    assert "p0" in condition(planned, "Degraded")["message"]


def test_a_node_read_in_part_is_listed_with_the_reason() -> None:
    lacking = Signal(name="TCPRetransmit", state=SignalState.DEGRADED, reason="NoBPF", message="no CAP_BPF: add it")
    report = NodeReport(agent="default/nodes", node="node2", at_unix_ms=NOW_MS, signals=[lacking])
    seen = view().model_copy(update={"nodes": [report]})
    planned = plan_of(settled_agent(hint_services=(HintServiceState(view=seen),)))
    assert planned.status is not None
    assert planned.status["degradedNodes"] == [
        {"name": "node2", "reason": "NoBPF", "message": "TCPRetransmit: no CAP_BPF: add it"}
    ]
    assert condition(planned, "Degraded")["reason"] == Reason.NODES_DEGRADED
    assert condition(planned, "Ready")["status"] == "True"


def _reporting(*signals: Signal, node: str = "node2") -> Any:
    """Return a settled agent whose one node reports ``signals``."""
    report = NodeReport(agent="default/nodes", node=node, at_unix_ms=NOW_MS, signals=list(signals))
    seen = view().model_copy(update={"nodes": [report]})
    return settled_agent(hint_services=(HintServiceState(view=seen),))


def test_a_signal_read_in_a_lesser_way_counts_its_backend_and_degrades_its_node() -> None:
    words = "BTFTracepoint: the kernel has no BTF: use one with CONFIG_DEBUG_INFO_BTF=y"
    lesser = {"backend": "SockDiag", "state": SignalState.DEGRADED, "reason": "BTFMissing", "message": words}
    planned = plan_of(
        _reporting(
            Signal(name="TCPRoundTripTime", **lesser),
            Signal(name="TCPRetransmit", **lesser),
            Signal(name="ListenBacklog", backend="SockDiag", state=SignalState.ACTIVE),
            Signal(name="GPU", state=SignalState.OFF, reason="NoGPU", message="the driver reports no GPU"),
        )
    )
    assert planned.status is not None
    assert planned.status["backends"] == [
        {"name": "ListenBacklog/SockDiag", "nodes": 1},
        {"name": "TCPRetransmit/SockDiag", "nodes": 1},
        {"name": "TCPRoundTripTime/SockDiag", "nodes": 1},
    ]
    assert planned.status["degradedNodes"] == [
        {
            "name": "node2",
            "reason": "BTFMissing",
            "message": f"TCPRoundTripTime, TCPRetransmit (read by SockDiag): {words}",
        }
    ]


def test_a_signal_that_is_off_degrades_nothing() -> None:
    planned = plan_of(_reporting(Signal(name="GPU", state=SignalState.OFF, reason="NoGPU", message="no GPU")))
    assert planned.status is not None
    assert (planned.status["degraded"], planned.status["degradedNodes"], planned.status["backends"]) == (0, [], [])
    assert condition(planned, "Degraded")["status"] == "False"


def test_a_node_whose_agent_cannot_run_is_listed() -> None:
    snapshot = settled_agent()
    stuck = pod("nodes-agent-x", "agent", waiting=("CrashLoopBackOff", "")) | {"spec": {"nodeName": "node3"}}
    planned = plan_of(dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, pods=(stuck,))))
    assert planned.status is not None
    assert planned.status["degradedNodes"] == [
        {
            "name": "node3",
            "reason": "PodsFailing",
            "message": "no agent runs: nodes-agent-x: container agent: CrashLoopBackOff",
        }
    ]
    assert condition(planned, "Degraded")["reason"] == Reason.PODS_FAILING


def test_all_degraded_nodes_are_counted_and_the_first_are_listed() -> None:
    lost = Signal(name="TCPRetransmit", state=SignalState.DEGRADED, reason="NoBPF", message="no CAP_BPF: add it")
    reports = [
        NodeReport(agent="default/nodes", node=f"node{i:03}", at_unix_ms=NOW_MS, signals=[lost]) for i in range(100)
    ]
    seen = view().model_copy(update={"nodes": reports})
    status = plan_of(settled_agent(hint_services=(HintServiceState(view=seen),))).status
    assert status is not None
    assert status["degraded"] == 100
    assert [node["name"] for node in status["degradedNodes"]] == [f"node{i:03}" for i in range(64)]


def test_an_agent_that_matches_no_node_is_not_ready() -> None:
    snapshot = settled_agent()
    children = copy.deepcopy(dict(snapshot.cluster.children))
    children[ObjectRef("DaemonSet", "nodes-agent")]["status"]["desiredNumberScheduled"] = 0
    planned = plan_of(dataclasses.replace(snapshot, cluster=Cluster(children=children)))
    assert condition(planned, "Ready")["reason"] == Reason.NO_MATCHING_NODES


def test_only_the_programs_of_the_policy_and_the_operator_are_granted_a_role() -> None:
    config_map = next(m for m in plan_of(policy_snapshot()).apply if m["kind"] == "ConfigMap")
    grants = RuntimeConfig.model_validate_json(config_map["data"]["runtime.json"]).grants
    assert [(g.namespace, g.service_account, g.role) for g in grants] == [
        ("default", "nodes-agent", "Agent"),
        ("default", "demo-gateway", "Gateway"),
        ("tokenflow-system", "tokenflow-operator", "Operator"),
    ]


def test_no_agent_is_said_to_be_replaced_while_the_api_refuses_what_it_needs() -> None:
    snapshot = _written(settled_agent())
    pods = copy.deepcopy(snapshot.cluster.pods)
    for each in pods:
        each["metadata"]["labels"]["tokenflow.io/revision"] = "older"
    cluster = dataclasses.replace(snapshot.cluster, pods=pods)
    snapshot = _written(dataclasses.replace(snapshot, cluster=cluster))
    assert [note.reason for note in plan_of(snapshot).notes] == ["Replaced"]
    refusal = Refusal(ref=ObjectRef("ConfigMap", "nodes-agent"), message="exceeded quota: small")
    refused = dataclasses.replace(snapshot, cluster=dataclasses.replace(cluster, refusals=(refusal,)))
    assert "Replaced" not in [note.reason for note in plan_of(refused).notes]


def test_a_tenant_without_a_key_is_named_with_its_secret() -> None:
    tenants = [{"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}}, {"name": "free"}]
    spec = PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | {"tenants": tenants})
    served = view().model_copy(update={"keyless": ["gold", "gone"]})
    planned = plan_of(settled_policy(policy(spec), hint_service=HintServiceState(view=served)))
    degraded = condition(planned, "Degraded")
    assert degraded["reason"] == "TenantKeysMissing"
    assert "tenant gold (Secret gold-keys), so that" in degraded["message"]
