"""The real API server refuses what is wrong, and says where and what to write instead."""

import copy
import json
from typing import Any

import pytest

from e2e.commands import CommandError
from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

POLICY: dict[str, Any] = {
    "apiVersion": "tokenflow.io/v1alpha1",
    "kind": "PacingPolicy",
    "metadata": {"name": "demo"},
    "spec": {"tenants": [{"name": "gold"}], "gateway": {"upstreams": [{"name": "llama", "url": "http://llama:8000"}]}},
}
AGENT: dict[str, Any] = {
    "apiVersion": "tokenflow.io/v1alpha1",
    "kind": "TelemetryAgent",
    "metadata": {"name": "nodes"},
    "spec": {},
}

# What is changed, the field that the message must name, and the words that say what to do.
BAD_POLICIES: list[tuple[str, object, str, str]] = [
    ("metadata.name", "x" * 51, "metadata.name", "choose a shorter one"),
    ("metadata.name", "prod.v2", "metadata.name", "write my-name rather than my.name"),
    ("metadata.name", "1st", "metadata.name", "start with a letter"),
    ("spec.mode", False, "spec.mode", "string"),
    ("spec.mode", "Enforced", "spec.mode", "Enforce"),
    ("spec.failureMode", "open", "spec.failureMode", "Local"),
    ("spec.tenants", [], "spec.tenants", "at least 1"),
    ("spec.tenants", [{"name": "a"}, {"name": "a"}], "spec.tenants[1]", "Duplicate"),
    ("spec.tenants", [{"name": "Gold"}], "spec.tenants[0].name", "match"),
    ("spec.tenants", [{"tokensPerMinute": 5}], "spec.tenants[0].name", "Required"),
    ("spec.tenants", [{"name": "a", "tokensPerMinute": 0}], "tokensPerMinute", "greater than or equal to 1"),
    (
        "spec.tenants",
        [{"name": "a", "burstTokens": 100, "maxTokensPerRequest": 200}],
        "spec.tenants[0].burstTokens",
        "raise burstTokens or lower maxTokensPerRequest",
    ),
    ("spec.tenants", [{"name": "a", "price": {"currency": "usd"}}], "price.currency", "match"),
    ("spec.tenants", [{"name": "a", "weight": 1.5}], "weight", "integer"),
    (
        "spec.pacing",
        {"minTokensPerSecond": 90},
        "spec.pacing.minTokensPerSecond",
        "lower the first or raise the second",
    ),
    (
        "spec.pacing",
        {"fallbackTokensPerSecond": 81},
        "spec.pacing.fallbackTokensPerSecond",
        "write a value in that range",
    ),
    ("spec.pacing", {"targetBacklog": "50ms"}, "spec.pacing.targetBacklog", "such as 500ms"),
    ("spec.pacing", {"targetBacklog": "0.5s"}, "spec.pacing.targetBacklog", "match"),
    ("spec.pacing", {"maxBatchDelay": "10s"}, "spec.pacing.maxBatchDelay", "such as 250ms"),
    ("spec.pacing", {"hintTTL": "10ms"}, "spec.pacing.hintTTL", "such as 1s"),
    ("spec.pacing", {"maxBatchSize": 0}, "spec.pacing.maxBatchSize", "greater than or equal to 1"),
    ("spec.thresholds", {"healthPercent": 101}, "spec.thresholds.healthPercent", "less than or equal to 100"),
    ("spec.thresholds", {"rttInflationPercent": 100}, "rttInflationPercent", "greater than or equal to 101"),
    ("spec.telemetry", {"staleAfter": "10m"}, "spec.telemetry.staleAfter", "such as 5s"),
    ("spec.telemetry", {"agents": [{"name": f"a{n}"} for n in range(9)]}, "spec.telemetry.agents", "at most 8"),
    (
        "spec.model",
        {"mode": "Canary", "version": "v1", "canaryPercent": 0},
        "spec.model.canaryPercent",
        "raise it, or write mode: Shadow",
    ),
    ("spec.hintService", {"redis": {}}, "spec.hintService.redis", "write embedded: {} or name a Secret"),
    (
        "spec.hintService",
        {"redis": {"embedded": {}, "secretRef": {"name": "r"}}},
        "spec.hintService.redis",
        "write embedded: {} or name a Secret",
    ),
    (
        "spec.hintService",
        {"replicas": 5, "autoscaling": {"maxReplicas": 3}},
        "spec.hintService.autoscaling.maxReplicas",
        "raise it, or lower replicas",
    ),
    (
        "spec.hintService",
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        "spec.hintService.resources.requests",
        "lower the request or raise the limit",
    ),
    (
        "spec.hintService",
        {"resources": {"requests": {"cpu": 3}, "limits": {"cpu": "2500m"}}},
        "spec.hintService.resources.requests",
        "lower the request or raise the limit",
    ),
    ("spec.hintService", {"resources": {"requests": {"cpu": -1}}}, "requests.cpu", "greater than or equal to 0"),
    ("spec.gateway.upstreams", [], "spec.gateway.upstreams", "at least 1"),
    ("spec.gateway.upstreams", [{"name": "a", "url": "llama:8000"}], "spec.gateway.upstreams[0].url", "match"),
    ("spec.gateway.timeouts", {"connect": "5m"}, "spec.gateway.timeouts.connect", "such as 2s"),
    ("spec.gateway.timeouts", {"total": "20s"}, "spec.gateway.timeouts.total", "lower them or raise total"),
    ("spec.gateway.maxRequestSize", 1000, "spec.gateway.maxRequestSize", "such as 4Mi"),
    ("spec.gateway.maxRequestSize", "1Gi", "spec.gateway.maxRequestSize", "such as 4Mi"),
    (
        "spec.security",
        {"jwt": {"issuer": "http://x", "audience": "a", "jwksURL": "https://x/k"}},
        "spec.security.jwt.issuer",
        "match",
    ),
    ("spec.security", {"allowCIDRs": ["10.0.0.0"]}, "spec.security.allowCIDRs[0]", "match"),
    ("spec.alerts", {"for": "2h"}, "spec.alerts.for", "such as 30s"),
    (
        "spec.alerts",
        {"notifiers": [{"name": "ops", "type": "Slack"}]},
        "spec.alerts.notifiers[0].secretRef",
        "Required",
    ),
]
BAD_AGENTS: list[tuple[str, object, str, str]] = [
    ("metadata.name", "nodes.v2", "metadata.name", "write my-name rather than my.name"),
    ("spec.interval", "500ms", "spec.interval", "such as 1s"),
    ("spec.security", "Root", "spec.security", "Capabilities"),
    ("spec.ebpf", {"probes": []}, "spec.ebpf.probes", "at least 1"),
    ("spec.ebpf", {"probes": ["TCPRetransmit", "TCPRetransmit"]}, "spec.ebpf.probes[1]", "Duplicate"),
    ("spec.gpu", {"interval": "0s"}, "spec.gpu.interval", "such as 2s"),
    ("spec.spool", {"maxSize": "1Ki"}, "spec.spool.maxSize", "such as 64Mi"),
    ("spec.rollout", {"maxUnavailablePercent": 0}, "maxUnavailablePercent", "greater than or equal to 1"),
    ("spec.rollout", {"canary": {"duration": "25h"}}, "spec.rollout.canary.duration", "such as 60s"),
    ("spec.tolerations", [{"operator": "Equal"}], "spec.tolerations[0].operator", "use operator: Exists"),
    (
        "spec.tolerations",
        [{"operator": "Exists", "key": "a", "value": "b"}],
        "spec.tolerations[0].value",
        "remove it, or write operator: Equal",
    ),
]


def changed(manifest: dict[str, Any], path: str, value: object) -> str:
    document = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return json.dumps(document)


def refusal(cluster: Cluster, manifest: str) -> str:
    with pytest.raises(CommandError) as refused:
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)
    return str(refused.value)


@pytest.mark.parametrize(("path", "value", "field", "remedy"), BAD_POLICIES)
def test_a_bad_policy_is_refused(crds: Cluster, path: str, value: object, field: str, remedy: str) -> None:
    words = refusal(crds, changed(POLICY, path, value))
    assert field in words
    assert remedy in words


@pytest.mark.parametrize(("path", "value", "field", "remedy"), BAD_AGENTS)
def test_a_bad_agent_is_refused(crds: Cluster, path: str, value: object, field: str, remedy: str) -> None:
    words = refusal(crds, changed(AGENT, path, value))
    assert field in words
    assert remedy in words


def test_good_ones_are_taken(crds: Cluster) -> None:
    for manifest in (POLICY, AGENT):
        crds.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))


def test_bare_numbers_are_quantities(crds: Cluster) -> None:
    resources = {"requests": {"cpu": 1, "memory": "128Mi"}, "limits": {"cpu": 2, "memory": 268435456}}
    for document in (
        changed(POLICY, "spec.hintService", {"resources": resources}),
        changed(POLICY, "spec.gateway.maxRequestSize", 65536),
        changed(AGENT, "spec.spool", {"maxSize": 67108864}),
    ):
        crds.kubectl("apply", "--dry-run=server", "-f", "-", stdin=document)
