"""The objects by which others watch over a policy and its agents."""

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.kube.kinds import POD_MONITOR, PROMETHEUS_RULE, SERVICE_MONITOR
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.alerts.dashboard import dashboard_object
from tokenflow_operator.plan.alerts.monitors import pod_monitor, service_monitor
from tokenflow_operator.plan.alerts.rules import rules_object
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.settings import Monitoring


def policy_monitoring(
    owner: Owner, spec: PacingPolicySpec, monitoring: Monitoring, *, served: frozenset[str]
) -> tuple[Manifest, ...]:
    """Render the rules and the dashboard of a policy, and its monitor where the API serves such."""
    return (
        rules_object(owner, spec, monitoring, as_resource=PROMETHEUS_RULE.kind in served),
        dashboard_object(owner, spec, monitoring),
        *([service_monitor(owner, monitoring)] if SERVICE_MONITOR.kind in served else []),
    )


def agent_monitoring(owner: Owner, monitoring: Monitoring, *, served: frozenset[str]) -> tuple[Manifest, ...]:
    """Render the monitor of a TelemetryAgent's pods where the API serves such."""
    return (pod_monitor(owner, monitoring),) if POD_MONITOR.kind in served else ()
