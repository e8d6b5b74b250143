"""Every rendered object stands in tests/operator/golden, so that a change of one is seen in review.

Write them anew with: TOKENFLOW_UPDATE_GOLDEN=1 pytest tests/operator/plan/test_golden.py
"""

import os
from pathlib import Path

import pytest
import yaml

from tests.operator.builders import agent, agent_snapshot, example, plan_of, policy, policy_snapshot
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.kube.kinds import HINT_REQUESTS
from tokenflow_operator.snapshot import Cluster

GOLDEN = Path(__file__).parents[1] / "golden"

EXTERNAL_REDIS = example("pacingpolicy.yaml") | {
    "hintService": {
        "replicas": 2,
        "redis": {"secretRef": {"name": "my-redis"}},
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}},
    },
    "tenants": [{"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}}, {"name": "free"}],
    "gateway": {
        "upstreams": [
            {"name": "vllm", "url": "http://vllm.llm.svc:8000"},
            {"name": "hosted", "url": "https://llm.example", "apiKeySecretRef": {"name": "hosted-key"}},
        ]
    },
}
STORED = example("pacingpolicy.yaml") | {
    "hintService": {"redis": {"embedded": {"storage": "2Gi", "storageClassName": "fast"}}}
}
AUTOSCALED = example("pacingpolicy.yaml") | {
    "hintService": {
        "replicas": 2,
        "autoscaling": {"maxReplicas": 8, "targetCPUPercent": 60, "targetRequestsPerSecond": 1500},
    }
}
PRIVILEGED = {
    "image": "registry.example/agent:2",
    "security": "Privileged",
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    "resources": {"limits": {"cpu": "1"}},
    "rollout": {"maxUnavailablePercent": 50},
}

MONITORING = frozenset({"PrometheusRule", "ServiceMonitor", "PodMonitor"})

TLS = example("pacingpolicy.yaml") | {"security": {"tlsSecretRef": {"name": "demo-tls"}, "caBundle": "PEM"}}
TLS_POLICY = policy(PacingPolicySpec.model_validate(TLS))

CASES = {
    "policy": policy_snapshot(),
    "policy-external-redis-and-keys": policy_snapshot(policy(PacingPolicySpec.model_validate(EXTERNAL_REDIS))),
    "policy-stored": policy_snapshot(policy(PacingPolicySpec.model_validate(STORED))),
    "policy-autoscaled": policy_snapshot(
        policy(PacingPolicySpec.model_validate(AUTOSCALED)),
        cluster=Cluster(children={}, served=frozenset({HINT_REQUESTS.kind})),
    ),
    "policy-tls": policy_snapshot(TLS_POLICY),
    "policy-monitored": policy_snapshot(cluster=Cluster(children={}, served=MONITORING)),
    "agent-monitored": agent_snapshot(cluster=Cluster(children={}, served=MONITORING)),
    "agent": agent_snapshot(),
    "agent-tls": agent_snapshot(policies=(TLS_POLICY,)),
    "agent-privileged": agent_snapshot(agent(TelemetryAgentSpec.model_validate(PRIVILEGED))),
}


@pytest.mark.parametrize("name", CASES)
def test_rendered_objects_are_as_reviewed(name: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    rendered = yaml.safe_dump_all(plan_of(CASES[name]).apply, sort_keys=False, width=120)
    if os.environ.get("TOKENFLOW_UPDATE_GOLDEN"):
        path.write_text(rendered)
    assert rendered == path.read_text()
