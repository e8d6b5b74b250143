"""Which alerts' causes the operator sees itself: in the pods, in what agents say, and in what the hint service says.

Whether a replica reaches the quota store only its metrics tell: that alert is left to Prometheus.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from tokenflow_api.hints import NodeHealth, Snapshot
from tokenflow_api.modes import Mode
from tokenflow_api.telemetry import SignalState
from tokenflow_operator.plan import gateway, hintsvc
from tokenflow_operator.plan.alerts.definitions import AlertName
from tokenflow_operator.plan.alerts.expiry import expiring
from tokenflow_operator.plan.alerts.table import ALERTS
from tokenflow_operator.plan.conditions import progressing_since
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.pods import ready_pods
from tokenflow_operator.plan.policy_status import silent_agents
from tokenflow_operator.plan.runtime import named_agents
from tokenflow_operator.snapshot import PolicySnapshot, Silence

LEFT_TO_PROMETHEUS: Final = frozenset({AlertName.QUOTA_UNREACHABLE})
_NAMED: Final = 3
_MOST_WORDS: Final = 1024


def seen(snapshot: PolicySnapshot, *, now: datetime) -> dict[AlertName, str]:
    """Return the alerts whose causes are there at the time of day ``now``, each with what is wrong and what to do."""
    view = snapshot.hint_service.view
    words = {name: sight(snapshot) for name, sight in _SIGHTS.items()} | (expiring(view, now=now) if view else {})
    wrong = ((alert, words.get(alert.name, "")) for alert in ALERTS)
    return {alert.name: f"{what}: {alert.remedy}"[:_MOST_WORDS] for alert, what in wrong if what}


def _hint_service_down(snapshot: PolicySnapshot) -> str:
    state = snapshot.hint_service
    if state.view is not None:
        return ""
    match state.silence:
        case Silence.UNREACHABLE:
            return f"no replica of the hint service answers: {state.error}"
        case Silence.UNTRUSTED:
            return f"the hint service shows a certificate that is not believed: {state.error}"
        case _:
            return ""


def _gateway_down(snapshot: PolicySnapshot) -> str:
    ready = ready_pods(snapshot.cluster.pods, component=gateway.COMPONENT)
    return "" if ready else "no replica of the gateway is ready"


def _no_leader(snapshot: PolicySnapshot) -> str:
    state = snapshot.hint_service
    if state.silence is Silence.FAILING:
        return f"no replica of the hint service can tell who computes hints: {state.error}"
    return "no replica of the hint service computes hints" if state.view is not None and not state.view.leader else ""


def _health_low(snapshot: PolicySnapshot) -> str:
    threshold = snapshot.policy.spec.thresholds.health_percent
    newest = _newest(snapshot)
    if newest is None or newest.health * 100 >= threshold:
        return ""
    return f"health is {newest.health * 100:.0f} %, below {threshold} %"


def _config_refused(snapshot: PolicySnapshot) -> str:
    view = snapshot.hint_service.view
    serving = ready_pods(snapshot.cluster.pods, component=hintsvc.COMPONENT)
    refusing = [replica for replica in view.replicas if replica.error and replica.name in serving] if view else []
    return _listed("replicas refuse the newest configuration", (f"{each.name}: {each.error}" for each in refusing))


def _quota_exhausted(snapshot: PolicySnapshot) -> str:
    view = snapshot.hint_service.view
    if view is None or snapshot.policy.spec.mode is not Mode.ENFORCE:
        return ""
    tenants = {tenant.name: tenant for tenant in snapshot.policy.spec.tenants}
    exhausted = []
    for usage in view.usage:
        tenant = tenants.get(usage.tenant)
        if tenant is None:
            continue
        if usage.requests_last_minute >= tenant.requests_per_minute:
            exhausted.append(f"{tenant.name}: requestsPerMinute {tenant.requests_per_minute}")
        if usage.tokens_last_minute >= tenant.tokens_per_minute:
            exhausted.append(f"{tenant.name}: tokensPerMinute {tenant.tokens_per_minute}")
    return _listed("tenants are at their limits", exhausted)


def _model_drift(snapshot: PolicySnapshot) -> str:
    newest = _newest(snapshot)
    report = newest.model if newest else None
    return f"model {report.version} no longer fits and is set aside" if report and report.drifted else ""


def _beyond(signal: str, what: str) -> Callable[[PolicySnapshot], str]:
    """Return a look at one signal of the nodes: a share, named where it is beyond its threshold."""

    def sight(snapshot: PolicySnapshot) -> str:
        return _listed(
            what,
            (
                f"{node.node}: {term.value * 100:.0f} %, above {term.threshold * 100:.0f} %"
                for node in _nodes(snapshot)
                for term in node.terms
                if term.signal == signal and term.value is not None and term.value > term.threshold
            ),
        )

    return sight


def _retransmits(snapshot: PolicySnapshot) -> str:
    threshold = snapshot.policy.spec.thresholds.retransmit_percent
    newest = _newest(snapshot)
    hints = (newest.shadow or newest.hints) if newest else []
    lossy = [
        f"path {hint.path} of tenant {hint.tenant}: {hint.signals.retransmit_ratio * 100:.1f} %"
        for hint in hints
        if hint.signals.retransmit_ratio is not None and hint.signals.retransmit_ratio * 100 > threshold
    ]
    return _of_nodes(snapshot) or _listed(f"more than {threshold} % of the segments are sent again", lossy)


_of_nodes: Final = _beyond("Retransmits", "too many segments are sent again on nodes")


def _agent_degraded(snapshot: PolicySnapshot) -> str:
    view, named = snapshot.hint_service.view, _reported_as(snapshot)
    return _listed(
        "signals are degraded on nodes",
        (
            f"{report.node}: {signal.name} ({signal.reason})"
            for report in (view.nodes if view else [])
            if report.agent in named
            for signal in report.signals
            if signal.state is SignalState.DEGRADED
        ),
    )


def _agent_missing(snapshot: PolicySnapshot) -> str:
    return _listed("nodes are not measured", _unmeasured(snapshot))


def _unmeasured(snapshot: PolicySnapshot) -> Iterator[str]:
    view = snapshot.hint_service.view
    silent = {agent.key for agent in silent_agents(snapshot, view)} if view else set()
    for agent in named_agents(snapshot.policy, snapshot.agents):
        desired, ready = agent.status.get("desired", 0), agent.status.get("ready", 0)
        if ready < desired and progressing_since(agent.status) is None:
            yield f"TelemetryAgent {agent.key.name}: {desired - ready} of {desired} nodes have no ready agent"
        elif agent.key in silent:
            yield f"TelemetryAgent {agent.key.name} sends nothing"


def _newest(snapshot: PolicySnapshot) -> Snapshot | None:
    """Return what the leader last computed; nothing where nobody leads, so that it speaks of the past."""
    view = snapshot.hint_service.view
    return view.snapshot if view is not None and view.leader else None


def _nodes(snapshot: PolicySnapshot) -> list[NodeHealth]:
    newest, named = _newest(snapshot), _reported_as(snapshot)
    return [node for node in newest.nodes if node.agent in named] if newest else []


def _reported_as(snapshot: PolicySnapshot) -> set[str]:
    return {agent.key.reported_as for agent in named_agents(snapshot.policy, snapshot.agents)}


def _listed(what: str, items: Iterable[str]) -> str:
    """Return what is wrong, and the first of those that it is wrong with; nothing where there are none."""
    each = list(items)
    return f"{what}: {some(each, most=_NAMED, separator='; ')}" if each else ""


_SIGHTS: Final[Mapping[AlertName, Callable[[PolicySnapshot], str]]] = {
    AlertName.HINT_SERVICE_DOWN: _hint_service_down,
    AlertName.GATEWAY_DOWN: _gateway_down,
    AlertName.HINT_SERVICE_NO_LEADER: _no_leader,
    AlertName.TOKEN_FLOW_HEALTH_LOW: _health_low,
    AlertName.CONFIG_REFUSED: _config_refused,
    AlertName.QUOTA_EXHAUSTED: _quota_exhausted,
    AlertName.MODEL_DRIFT: _model_drift,
    AlertName.GPU_UTILIZATION_HIGH: _beyond("GPUUtilization", "GPUs are used too much on nodes"),
    AlertName.GPU_MEMORY_HIGH: _beyond("GPUMemory", "memory of GPUs is nearly full on nodes"),
    AlertName.SOCKET_BACKLOG_HIGH: _beyond("Backlog", "accept queues are nearly full on nodes"),
    AlertName.RETRANSMITS_HIGH: _retransmits,
    AlertName.AGENT_DEGRADED: _agent_degraded,
    AlertName.AGENT_MISSING: _agent_missing,
}
