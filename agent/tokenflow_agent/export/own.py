"""Figures of the agent itself: what it costs, what it loses, how it delivers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from tokenflow_agent.delivery.state import Circuit, DeliveryState
from tokenflow_agent.export.model import NO_LABELS, Family, Labels, Metric, Point, counter, gauge
from tokenflow_agent.sources import Findings
from tokenflow_api.telemetry import AgentCost, Signal, SignalState

_EVENTS: Final = counter("ebpf_events", "Kernel events that the agent's programs met.")
_LOST: Final = counter("ebpf_events_lost", "Kernel events that were not counted, by reason.")
_OUTSIDE: Final = counter("tokenflow_agent_segments_outside_pods", "Kernel events of sockets that belong to no pod.")
_MAP_USAGE: Final = gauge("ebpf_map_usage_percent", "How full a kernel map was in the last window.")
_BPF_CPU: Final = gauge("ebpf_cpu_usage_percent", "Share of one core that the agent's programs in the kernel took.")
_CPU: Final = gauge("tokenflow_agent_cpu_usage_percent", "Share of one core that the agent's process took.")
_RESIDENT: Final = gauge("tokenflow_agent_resident_bytes", "Memory that the agent's process holds.")
_WINDOWS: Final = counter("tokenflow_agent_windows", "Windows that were built.")
_FAILURES: Final = counter("tokenflow_agent_source_failures", "Unexpected failures of a source.")
_RESTARTS: Final = counter("tokenflow_agent_source_restarts", "Attempts to begin a source, or a way it reads, anew.")
_SIGNAL: Final = gauge("tokenflow_agent_signal_active", "1 where a signal is read in the best way, else 0 and why.")
_BATCHES: Final = counter("tokenflow_agent_batches", "Deliveries by outcome: sent, failed, refused.")
_DROPPED: Final = counter("tokenflow_agent_windows_dropped", "Windows that a policy never gets, by reason.")
_WAITING: Final = gauge("tokenflow_agent_windows_waiting", "Windows that a policy has not acknowledged.")
_LAG: Final = gauge("tokenflow_agent_send_lag_seconds", "Age of the oldest window that waits for a policy.")
_CIRCUIT: Final = gauge("tokenflow_agent_circuit_state", "1 for the state of the circuit breaker of a policy, else 0.")
_Name = TypeVar("_Name", bound=str)

_SPOOL: Final = gauge("tokenflow_agent_spool_bytes", "Windows that wait, by where they do.")


class OwnFigures:
    """What the agent counts about itself."""

    def __init__(self) -> None:
        self._cost = AgentCost()
        self._window_ms = 1
        self._windows = self._events = self._outside = 0
        self._lost: Counter[str] = Counter()
        self._maps: dict[str, float] = {}

    def add(self, cost: AgentCost, found: Sequence[Findings], *, window_ms: int) -> None:
        """Take in what a window cost."""
        self._cost, self._window_ms = cost, window_ms
        self._windows += 1
        self._events += cost.events
        self._outside += sum(each.outside for each in found)
        self._maps = {name: percent for each in found for name, percent in each.map_usage_percent.items()}
        for each in found:
            self._lost.update(each.lost)

    def families(
        self,
        *,
        signals: Sequence[Signal],
        delivery: DeliveryState,
        failures: Mapping[str, int],
        restarts: Mapping[str, int],
    ) -> Iterator[Family]:
        """Yield all metrics.

        Args:
            signals: how each signal is read.
            delivery: how delivery fares.
            failures: unexpected ones, by source.
            restarts: attempts to begin anew what had failed, by source.
        """
        yield _EVENTS, [Point(NO_LABELS, self._events)]
        yield _LOST, _by("reason", self._lost)
        yield _OUTSIDE, [Point(NO_LABELS, self._outside)]
        yield _MAP_USAGE, _by("map", self._maps)
        yield _BPF_CPU, [Point(NO_LABELS, self._percent(self._cost.bpf_us))]
        yield _CPU, [Point(NO_LABELS, self._percent(self._cost.cpu_us))]
        yield _RESIDENT, [Point(NO_LABELS, self._cost.resident_bytes)]
        yield _WINDOWS, [Point(NO_LABELS, self._windows)]
        yield _FAILURES, _by("source", failures)
        yield _RESTARTS, _by("source", restarts)
        yield _SIGNAL, [_signal(signal) for signal in signals]
        yield from _delivery(delivery)

    def _percent(self, microseconds: int) -> float:
        return round(microseconds / (self._window_ms * 10), 4)


def _delivery(state: DeliveryState) -> Iterator[Family]:
    yield _per_policy(_BATCHES, "outcome", {each.policy: each.outcomes for each in state.destinations})
    yield _per_policy(_DROPPED, "reason", {each.policy: each.dropped for each in state.destinations})
    circuits = {
        each.policy: {circuit: int(circuit is each.circuit) for circuit in Circuit} for each in state.destinations
    }
    yield _per_policy(_CIRCUIT, "state", circuits)
    yield _WAITING, _by("policy", {each.policy: each.waiting for each in state.destinations})
    yield _LAG, _by("policy", {each.policy: each.lag_ms / 1000 for each in state.destinations})
    yield _SPOOL, _by("where", {"disk": state.spool.disk_bytes, "memory": state.spool.memory_bytes})


def _by(label: str, values: Mapping[str, float]) -> list[Point]:
    return [Point(Labels((label,), (name,)), value) for name, value in values.items()]


def _per_policy(metric: Metric, label: str, values: Mapping[str, Mapping[_Name, int]]) -> Family:
    points = [
        Point(Labels(("policy", label), (policy, name)), value)
        for policy, by_name in values.items()
        for name, value in by_name.items()
    ]
    return metric, points


def _signal(signal: Signal) -> Point:
    state = signal.state.value
    labels = Labels(("signal", "backend", "reason", "state"), (signal.name, signal.backend, signal.reason, state))
    return Point(labels, int(signal.state is SignalState.ACTIVE))
