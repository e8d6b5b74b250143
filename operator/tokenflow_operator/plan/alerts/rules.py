"""The alerts of a policy as rules of Prometheus: a PrometheusRule where such exist, else a file in a ConfigMap."""

import json
from typing import Any, Final

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.quantities import seconds
from tokenflow_operator.kube.kinds import CONFIG_MAP, PROMETHEUS_RULE
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.alerts.definitions import Alert, runbook
from tokenflow_operator.plan.alerts.scope import Scope, scope
from tokenflow_operator.plan.alerts.table import ALERTS
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.settings import Monitoring

COMPONENT: Final = "alerts"
RULES_LABEL: Final = {"tokenflow.io/prometheus-rules": "true"}
"""By which a sidecar that collects rules finds the ConfigMap."""


def rules_object(owner: Owner, spec: PacingPolicySpec, monitoring: Monitoring, *, as_resource: bool) -> Manifest:
    """Render the alerts of a policy.

    Args:
        owner: the policy.
        spec: what it asks for.
        monitoring: how the cluster is monitored.
        as_resource: whether the API serves PrometheusRules.
    """
    name = names.alerts(owner.key.name)
    document = {"groups": [_group(owner, spec, monitoring)]}
    if as_resource:
        return owner.object(PROMETHEUS_RULE, name, COMPONENT, labels=monitoring.labels, spec=document)
    # JSON is YAML too, and made a hundred times as fast: every pass makes it.
    text = json.dumps(document, indent=2)
    # Unique over all policies, so that all files may lie in one folder.
    file = f"tokenflow-{owner.key.namespace}-{owner.key.name}.yaml"
    return owner.object(CONFIG_MAP, name, COMPONENT, labels=RULES_LABEL, data={file: text})


def _group(owner: Owner, spec: PacingPolicySpec, monitoring: Monitoring) -> dict[str, Any]:
    of = scope(owner.key, spec)
    fitting = [alert for alert in ALERTS if of.agents or not alert.of_agents]
    return {
        "name": f"tokenflow.{owner.key.namespace}.{owner.key.name}",
        "rules": [
            _rule(alert, of, held_for=_duration(spec.alerts.for_), docs_url=monitoring.docs_url) for alert in fitting
        ],
    }


def _rule(alert: Alert, of: Scope, *, held_for: str, docs_url: str) -> dict[str, Any]:
    return {
        "alert": alert.name.value,
        "expr": alert.expression(of),
        "for": held_for,
        "labels": {
            "severity": alert.severity.lower(),
            "namespace": of.policy.namespace,
            "policy": of.policy.name,
        },
        "annotations": {
            "summary": f"PacingPolicy {of.policy.namespace}/{of.policy.name}: {alert.summary}",
            "description": f"{alert.description} What to do: {alert.remedy}.",
            "runbook_url": runbook(alert.name, docs_url=docs_url),
        },
    }


def _duration(of_policy: str) -> str:
    """Return a Go duration as Prometheus takes it: not of units in any order."""
    whole_s, left_ms = divmod(round(seconds(of_policy) * 1000), 1000)
    return f"{whole_s}s{left_ms}ms" if left_ms else f"{whole_s}s"
