"""All alerts, the gravest causes first: one table for Prometheus, for ``status.alerts`` and for notifiers."""

from typing import Final

from tokenflow_operator.plan.alerts.definitions import Alert, AlertName, AlertSeverity
from tokenflow_operator.plan.alerts.scope import Scope

_FRESH_S: Final = 10
"""Age beyond which a replica's snapshot says nothing of the present."""
_EXPIRY_DAYS: Final = 7
EXPIRY_S: Final = _EXPIRY_DAYS * 86_400
"""Time before the end of a certificate or a key at which somebody should look after it."""
_DEGRADED: Final = 'state="Degraded"'
_OUT_OF_QUOTA: Final = 'outcome=~"RequestsPerMinute|TokensPerMinute|ConcurrentStreams"'


def health_percent(of: Scope) -> str:
    """Return the expression of a policy's health."""
    health, age = of.hint_service("tokenflow_health_ratio"), of.hint_service("tokenflow_snapshot_age_seconds")
    # A replica that has had no snapshot yet tells an age of -1, and a health of 0.
    return f"100 * min({health} and on (instance) (({age} >= 0) < {_FRESH_S}))"


def _gpu_memory(of: Scope) -> str:
    used, total = (of.all_agents(f"gpu_memory_{each}_bytes") for each in ("used", "total"))
    gpu = "max by (node, gpu, uuid, model)"
    return f"100 * {gpu} ({used}) / {gpu} ({total}) > {of.thresholds.gpu_memory_percent}"


def _backlog(of: Scope) -> str:
    # The namespace of the alert is the policy's.
    of_pod = f'label_replace({of.all_agents("socket_backlog_ratio")}, "pod_namespace", "$1", "namespace", "(.*)")'
    return f"100 * max by (node, pod_namespace, pod, port) ({of_pod}) > {of.thresholds.backlog_percent}"


def _retransmits(of: Scope) -> str:
    again, sent, received = (
        f"sum by (node) (rate({of.all_agents(metric)}[2m]))"
        for metric in ("network_retrans_count_total", "network_segments_sent_total", "network_segments_received_total")
    )
    # Not every way of reading TCP counts what is sent: what is received then stands for it.
    return f"100 * {again} / ({sent} or ({received} + {again})) > {of.thresholds.retransmit_percent}"


def _missing(of: Scope) -> str:
    silent = f"max by (node) ({of.all_agents('up')}) == 0"
    none_at_all = (f'absent(up{{job="{job}"}} == 1)' for job in of.agent_jobs())
    return " or ".join((silent, *none_at_all))


ALERTS: Final = (
    Alert(
        name=AlertName.HINT_SERVICE_DOWN,
        severity=AlertSeverity.CRITICAL,
        expression=lambda of: f"absent({of.hint_service('up')} == 1)",
        summary="no replica of the hint service answers",
        description="No replica of the hint service can be scraped.",
        remedy="look at its pods and at what its Deployment says; gateways drift to the fallback rate meanwhile",
    ),
    Alert(
        name=AlertName.GATEWAY_DOWN,
        severity=AlertSeverity.CRITICAL,
        expression=lambda of: f"absent({of.gateway('up')} == 1)",
        summary="no replica of the gateway serves",
        description="No replica of the gateway can be scraped.",
        remedy="look at its pods and at what its Deployment says; clients are refused meanwhile",
    ),
    Alert(
        name=AlertName.HINT_SERVICE_NO_LEADER,
        severity=AlertSeverity.CRITICAL,
        expression=lambda of: f"sum({of.hint_service('tokenflow_leader')}) == 0",
        summary="no replica of the hint service computes hints",
        description="No replica of the hint service leads.",
        remedy="see whether Redis is well, and the hint service's log; readers drift to the fallback rate meanwhile",
    ),
    Alert(
        name=AlertName.TOKEN_FLOW_HEALTH_LOW,
        severity=AlertSeverity.CRITICAL,
        expression=lambda of: f"{health_percent(of)} < {of.thresholds.health_percent}",
        summary="the health of the policy's paths and GPUs is below thresholds.healthPercent",
        description="Health is {{ $value | printf `%.0f` }} %.",
        remedy="see which paths are worst in status.tenants, and what holds them down at GET /v1/health",
    ),
    Alert(
        name=AlertName.CONFIG_REFUSED,
        severity=AlertSeverity.WARNING,
        expression=lambda of: f"max by (pod) ({of.hint_service('tokenflow_config_refused')}) == 1",
        summary="a replica refuses the newest configuration and serves an older one",
        description="Replica {{ $labels.pod }} refuses the newest configuration.",
        remedy="read why at its /readyz; let the images of the operator and of the hint service be of one release",
    ),
    Alert(
        name=AlertName.QUOTA_UNREACHABLE,
        severity=AlertSeverity.WARNING,
        expression=lambda of: f"min by (pod) ({of.hint_service('tokenflow_quota_reachable')}) == 0",
        summary="a replica cannot reach the shared quota, and failureMode decides",
        description="Replica {{ $labels.pod }} cannot reach the shared quota.",
        remedy="see whether Redis is well and can be reached from the replica",
    ),
    Alert(
        name=AlertName.QUOTA_EXHAUSTED,
        severity=AlertSeverity.INFO,
        expression=lambda of: (
            f"sum by (tenant) (rate({of.hint_service('tokenflow_quota_checks_total', _OUT_OF_QUOTA)}[2m])) > 0"
        ),
        summary="a tenant is at the limit of its quota",
        description="Requests of tenant {{ $labels.tenant }} are refused, {{ $value | humanize }} per second.",
        remedy="raise its limits under spec.tenants, or let the tenant ask less",
    ),
    Alert(
        name=AlertName.MODEL_DRIFT,
        severity=AlertSeverity.WARNING,
        expression=lambda of: f"max({of.hint_service('tokenflow_model_drifted')}) == 1",
        summary="the learned model no longer fits and is set aside",
        description="The learned model no longer fits: the law runs alone.",
        remedy='train a new version, or set spec.model.mode: "Off"',
    ),
    Alert(
        name=AlertName.CERTIFICATE_EXPIRING,
        severity=AlertSeverity.WARNING,
        expression=lambda of: (
            f"min({of.hint_service('tokenflow_tls_certificate_expiry_timestamp_seconds')} > 0) - time() < {EXPIRY_S}"
        ),
        summary=f"the hint service's certificate ends within {_EXPIRY_DAYS} days",
        description="The certificate that the hint service serves with ends in {{ $value | humanizeDuration }}.",
        remedy="renew the Secret that spec.security.tlsSecretRef names; the replicas take it over by themselves",
    ),
    Alert(
        name=AlertName.API_KEY_EXPIRING,
        severity=AlertSeverity.WARNING,
        expression=lambda of: (
            f"min by (tenant) ({of.hint_service('tokenflow_api_key_next_expiry_timestamp_seconds')}) - time()"
            f" < {EXPIRY_S}"
        ),
        summary=f"an API key of a tenant ends within {_EXPIRY_DAYS} days",
        description="An API key of tenant {{ $labels.tenant }} ends in {{ $value | humanizeDuration }}.",
        remedy="add a new key to the tenant's Secret, hand it out, and remove the old one",
    ),
    Alert(
        name=AlertName.GPU_UTILIZATION_HIGH,
        severity=AlertSeverity.WARNING,
        expression=lambda of: (
            f"max by (node, gpu, uuid, model) ({of.all_agents('gpu_utilization_percent')})"
            f" > {of.thresholds.gpu_utilization_percent}"
        ),
        summary="a GPU is used above thresholds.gpuUtilizationPercent",
        description="GPU {{ $labels.gpu }} on node {{ $labels.node }} is used to {{ $value | printf `%.0f` }} %.",
        remedy="add GPUs or replicas of the engine, or lower the tenants' limits",
        of_agents=True,
    ),
    Alert(
        name=AlertName.GPU_MEMORY_HIGH,
        severity=AlertSeverity.WARNING,
        expression=_gpu_memory,
        summary="a GPU's memory is used above thresholds.gpuMemoryPercent",
        description="Memory of GPU {{ $labels.gpu }} on node {{ $labels.node }} is used to {{ $value | humanize }} %.",
        remedy="give the engine less of it, shorten contexts, or raise the threshold if the engine reserves it all",
        of_agents=True,
    ),
    Alert(
        name=AlertName.SOCKET_BACKLOG_HIGH,
        severity=AlertSeverity.WARNING,
        expression=_backlog,
        summary="an accept queue is filled above thresholds.backlogPercent",
        description=(
            "The accept queue of port {{ $labels.port }} of pod {{ $labels.pod_namespace }}/{{ $labels.pod }} on node"
            " {{ $labels.node }} is {{ $value | printf `%.0f` }} % full."
        ),
        remedy="the program there accepts too slowly: see whether it is starved of CPU, or add replicas",
        of_agents=True,
    ),
    Alert(
        name=AlertName.RETRANSMITS_HIGH,
        severity=AlertSeverity.WARNING,
        expression=_retransmits,
        summary="more segments are sent again than thresholds.retransmitPercent",
        description="{{ $value | printf `%.1f` }} % of the segments on node {{ $labels.node }} are sent again.",
        remedy="see which pods and networks lose most in tokenflow-agent top, and look at the links there",
        of_agents=True,
    ),
    Alert(
        name=AlertName.AGENT_DEGRADED,
        severity=AlertSeverity.WARNING,
        expression=lambda of: (
            f"max by (node, signal, backend, reason) ({of.all_agents('tokenflow_agent_signal_active', _DEGRADED)}) == 0"
        ),
        summary="an agent cannot read a signal, or not in the best way",
        description="Signal {{ $labels.signal }} on node {{ $labels.node }} is degraded: {{ $labels.reason }}.",
        remedy="see status.degradedNodes of the TelemetryAgent, and run tokenflow-agent doctor in the agent's pod",
        of_agents=True,
    ),
    Alert(
        name=AlertName.AGENT_MISSING,
        severity=AlertSeverity.WARNING,
        expression=_missing,
        summary="a node that should be measured is not",
        description="{{ with $labels.node }}The agent on node {{ . }} does{{ else }}Agents do{{ end }} not answer.",
        remedy="see kubectl describe telemetryagent, and the agent's pod on that node",
        of_agents=True,
    ),
)
