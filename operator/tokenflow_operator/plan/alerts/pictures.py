"""What the dashboard of a policy shows: first whether it is well, then what readers, links and GPUs see."""

from collections.abc import Iterator
from typing import Final

from tokenflow_operator.plan.alerts.panels import Panel, Row, Series
from tokenflow_operator.plan.alerts.scope import Scope
from tokenflow_operator.plan.alerts.table import health_percent

_DEGRADED: Final = 'state="Degraded"'
_RATE: Final = "[2m]"


def rows(of: Scope) -> tuple[Row, ...]:
    """Return all rows; those of agents only where the policy names some."""
    of_agents = (_network(of), _gpus(of), _agents(of)) if of.agents else ()
    return (_now(of), _streams(of), _tenants(of), *of_agents, _hint_service(of))


def _now(of: Scope) -> Row:
    alerts = f'ALERTS{{alertstate="firing",namespace="{of.policy.namespace}",policy="{of.policy.name}"}}'
    return Row(
        title="Now",
        panels=(
            _stat(
                "Health",
                health_percent(of),
                "Health of all paths and GPUs together",
                unit="percent",
                threshold=of.thresholds.health_percent,
                low_is_bad=True,
            ),
            _stat("Alerts", f"count({alerts}) or vector(0)", "Alerts that are firing", threshold=1),
            _stat(
                "Hint service replicas",
                f"sum({of.hint_service('up')})",
                "Replicas that can be scraped",
                threshold=1,
                low_is_bad=True,
            ),
            _stat(
                "Gateway replicas",
                f"sum({of.gateway('up')})",
                "Replicas that can be scraped",
                threshold=1,
                low_is_bad=True,
            ),
            _stat(
                "Leader",
                f"sum({of.hint_service('tokenflow_leader')})",
                "Exactly one replica should compute hints",
                threshold=1,
                low_is_bad=True,
            ),
            _stat("Open streams", f"sum({of.gateway('tokenflow_gateway_streams')})", "Over all tenants"),
        ),
    )


def _stat(
    title: str,
    expression: str,
    description: str,
    *,
    unit: str = "short",
    threshold: float | None = None,
    low_is_bad: bool = False,
) -> Panel:
    return Panel(
        title=title,
        series=(Series(expression=expression, legend=title),),
        description=description,
        unit=unit,
        threshold=threshold,
        low_is_bad=low_is_bad,
        newest=True,
        width=4,
    )


def _streams(of: Scope) -> Row:
    return Row(
        title="Streams",
        panels=(
            _by("tenant", "Tokens streamed", _rate(of.gateway("tokenflow_gateway_tokens_total")), "Per second"),
            _by(
                "tenant",
                "Rate that one stream may run at",
                of.hint_service("tokenflow_hint_tokens_per_second"),
                "Tokens per second, as the hint service tells it",
                how="min",
            ),
            _by(
                "tenant",
                "Rate that readers keep up with",
                of.gateway("llm_client_token_rate"),
                "Tokens per second that readers have acknowledged",
            ),
            Panel(
                title="Time to the first token",
                series=tuple(_quantiles(of.gateway("tokenflow_gateway_time_to_first_token_seconds_bucket"))),
                unit="s",
            ),
            Panel(
                title="Time between events",
                series=tuple(_quantiles(of.gateway("tokenflow_gateway_event_gap_seconds_bucket"))),
                description="What a reader sees as a stall",
                unit="s",
            ),
            _by("status", "Requests", _rate(of.gateway("tokenflow_gateway_requests_total")), "Per second, by status"),
            _by("tenant", "Open streams", of.gateway("tokenflow_gateway_streams")),
            _by("tenant", "Streams whose reader left", _rate(of.gateway("tokenflow_gateway_cancelled_total"))),
            _by(
                "upstream, code",
                "Failures of upstreams",
                _rate(of.gateway("tokenflow_gateway_upstream_errors_total")),
                "Per second",
            ),
        ),
    )


def _tenants(of: Scope) -> Row:
    return Row(
        title="Tenants and quotas",
        panels=(
            _by(
                "tenant, outcome",
                "Requests that asked for room",
                _rate(of.hint_service("tokenflow_quota_checks_total")),
                "Per second: admitted, or why not",
            ),
            _by(
                "tenant",
                "Tokens used",
                _rate(of.hint_service("tokenflow_usage_tokens_total")),
                "Per second, input and output",
            ),
            _by(
                "tenant, currency",
                "Cost per hour",
                f"{_rate(of.hint_service('tokenflow_usage_cost_micros_total'))} * 3600 / 1e6",
                "At the present rate, in the currency of the tenant's price",
            ),
        ),
    )


def _network(of: Scope) -> Row:
    again, sent = (
        f"sum by (node) ({_rate(of.all_agents(each))})"
        for each in ("network_retrans_count_total", "network_segments_sent_total")
    )
    return Row(
        title="Network, as the agents see it",
        panels=(
            _worst("Round-trip time, 95th percentile", of.all_agents("network_rtt_p95_us"), unit="µs"),
            Panel(
                title="Segments sent again",
                series=(Series(expression=f"100 * {again} / {sent}", legend="{{node}}"),),
                description="Share of those sent, by node",
                unit="percent",
                threshold=of.thresholds.retransmit_percent,
            ),
            _worst(
                "Use of accept queues",
                f"100 * {of.all_agents('socket_backlog_ratio')}",
                unit="percent",
                threshold=of.thresholds.backlog_percent,
            ),
            _worst("Connections in recovery or loss", of.all_agents("network_connections_congested")),
            _worst("Longest send queue", of.all_agents("network_unsent_bytes"), unit="bytes"),
            _worst("Connections reset", _rate(of.all_agents("network_resets_total")), unit="cps"),
        ),
    )


def _gpus(of: Scope) -> Row:
    used, total = (of.all_agents(f"gpu_memory_{each}_bytes") for each in ("used", "total"))
    return Row(
        title="GPUs",
        panels=(
            _gpu("Use", of.all_agents("gpu_utilization_percent"), of.thresholds.gpu_utilization_percent),
            _gpu("Memory", f"100 * {used} / {total}", of.thresholds.gpu_memory_percent),
            _gpu("Temperature", of.all_agents("gpu_temperature_celsius"), None, unit="celsius"),
            _gpu("Power", of.all_agents("gpu_power_watts"), None, unit="watt"),
            Panel(
                title="Held down",
                series=(
                    Series(
                        expression=f"sum by (node, gpu, reason) ({of.all_agents('gpu_throttled')})",
                        legend="{{node}} {{gpu}} {{reason}}",
                    ),
                ),
                description="1 for each reason that holds the GPU's clock down",
            ),
        ),
    )


def _gpu(title: str, expression: str, threshold: float | None, *, unit: str = "percent") -> Panel:
    series = Series(expression=f"max by (node, gpu) ({expression})", legend="{{node}} {{gpu}}")
    return Panel(title=title, series=(series,), unit=unit, threshold=threshold)


def _agents(of: Scope) -> Row:
    return Row(
        title="Agents",
        panels=(
            _by(
                "node, signal, reason",
                "Degraded signals",
                f"1 - {of.all_agents('tokenflow_agent_signal_active', _DEGRADED)}",
                "Signals that are not read, or not in the best way",
            ),
            _by("node, reason", "Windows lost", _rate(of.all_agents("tokenflow_agent_windows_dropped_total"))),
            _by("node", "Events lost", _rate(of.all_agents("ebpf_events_lost_total")), "Per second"),
            _by("node", "Use of a core", of.all_agents("tokenflow_agent_cpu_usage_percent"), unit="percent"),
            _by("node", "Use of a core by programs", of.all_agents("ebpf_cpu_usage_percent"), unit="percent"),
            _by("node", "Memory", of.all_agents("tokenflow_agent_resident_bytes"), unit="bytes"),
        ),
    )


def _hint_service(of: Scope) -> Row:
    return Row(
        title="Hint service",
        panels=(
            _by("route", "Requests", _rate(of.hint_service("hint_server_request_count_total")), "Per second, by route"),
            Panel(
                title="Time to answer",
                series=tuple(_quantiles(of.hint_service("hint_server_latency_ms_bucket"))),
                unit="ms",
            ),
            Panel(
                title="Round of the leader",
                series=tuple(_quantiles(of.hint_service("tokenflow_leader_round_seconds_bucket"))),
                description="Four rounds fit into a second",
                unit="s",
                threshold=0.25,
            ),
            _by("pod", "Age of the newest snapshot", of.hint_service("tokenflow_snapshot_age_seconds"), unit="s"),
            _by("pod", "Generation in force", of.hint_service("tokenflow_config_generation"), how="max"),
            _by("task", "Failures to reach Redis", _rate(of.hint_service("tokenflow_store_errors_total"))),
            _by("outcome", "Telemetry batches", _rate(of.hint_service("tokenflow_ingest_batches_total")), "Per second"),
            _by("forecaster", "Error of forecasts", of.hint_service("tokenflow_model_mae_us"), unit="µs", how="max"),
            _by("code", "Requests denied", _rate(of.hint_service("tokenflow_denied_total")), "Per second"),
        ),
    )


def _rate(selector: str) -> str:
    return f"rate({selector}{_RATE})"


def _by(
    labels: str, title: str, expression: str, description: str = "", *, unit: str = "short", how: str = "sum"
) -> Panel:
    legend = " ".join(f"{{{{{label}}}}}" for label in labels.split(", "))
    series = Series(expression=f"{how} by ({labels}) ({expression})", legend=legend)
    return Panel(title=title, series=(series,), description=description, unit=unit)


def _worst(title: str, expression: str, *, unit: str = "short", threshold: float | None = None) -> Panel:
    series = Series(
        expression=f"topk(10, max by (node, namespace, pod, port) ({expression}))",
        legend="{{namespace}}/{{pod}}:{{port}} on {{node}}",
    )
    return Panel(title=title, series=(series,), description="The ten worst ports", unit=unit, threshold=threshold)


def _quantiles(buckets: str) -> Iterator[Series]:
    for quantile in (0.5, 0.95, 0.99):
        yield Series(
            expression=f"histogram_quantile({quantile}, sum by (le) ({_rate(buckets)}))", legend=f"p{quantile * 100:g}"
        )
