"""Turns batches into metrics."""

from collections.abc import Sequence

from tokenflow_agent.export import metrics
from tokenflow_agent.sources import Findings
from tokenflow_api.telemetry import Signal, SignalState, TelemetryBatch
from tokenflow_api.windows import OTHER_CLASS, GpuSamples, TcpWindows


class Figures:
    """The metrics of this agent."""

    def __init__(self) -> None:
        self._series: set[tuple[str, str, str]] = set()

    def show(self, batch: TelemetryBatch, found: Sequence[Findings]) -> None:
        """Take over what a window brought."""
        self._tcp(batch.tcp)
        _gpu(batch.gpu)
        _signals(batch.signals)
        for each in found:
            metrics.EVENTS.inc(each.events)
            for reason, count in each.lost.items():
                metrics.EVENTS_LOST.labels(reason).inc(count)
            for name, percent in each.map_usage_percent.items():
                metrics.MAP_USAGE.labels(name).set(percent)
            metrics.UNKNOWN_SEGMENTS.inc(each.outside)

    def _tcp(self, rows: TcpWindows) -> None:
        seen: dict[tuple[str, str, str], tuple[int, int]] = {}
        for row in range(len(rows)):
            labels = (rows.pod_namespace[row], rows.pod_name[row], str(rows.service_port[row]))
            if labels not in self._series and len(self._series) >= metrics.MAX_SERIES:
                labels = (OTHER_CLASS, OTHER_CLASS, OTHER_CLASS)
            self._series.add(labels)
            metrics.RETRANSMITS.labels(*labels).inc(rows.retransmits[row])
            total, samples = seen.get(labels, (0, 0))
            seen[labels] = (total + rows.rtt_sum_us[row], samples + rows.samples[row])
        for labels, (total, samples) in seen.items():
            if samples:
                metrics.RTT.labels(*labels).set(total / samples)


def _gpu(samples: GpuSamples) -> None:
    for row, uuid in enumerate(samples.uuid):
        utilization, temperature = samples.utilization_percent[row], samples.temperature_celsius[row]
        memory, power = samples.memory_used_bytes[row], samples.power_milliwatts[row]
        if memory is not None:
            metrics.GPU_MEMORY.labels(uuid).set(memory)
        if utilization is not None:
            metrics.GPU_UTILIZATION.labels(uuid).set(utilization)
        if temperature is not None:
            metrics.GPU_TEMPERATURE.labels(uuid).set(temperature)
        if power is not None:
            metrics.GPU_POWER.labels(uuid).set(power / 1000)


def _signals(signals: list[Signal]) -> None:
    # A signal that changed its backend or reason is another series: the old one must go.
    metrics.SIGNAL_ACTIVE.clear()
    for one in signals:
        active = 1 if one.state is SignalState.ACTIVE else 0
        metrics.SIGNAL_ACTIVE.labels(one.name, one.backend, one.reason).set(active)
