"""The agent's figures, under the names that users know."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()

RTT = Gauge(
    "network_rtt_us", "Mean TCP round-trip time of the last window.", ["namespace", "pod", "port"], registry=REGISTRY
)
RETRANSMITS = Counter(
    "network_retrans_count", "TCP segments sent again.", ["namespace", "pod", "port"], registry=REGISTRY
)
EVENTS = Counter("ebpf_events", "Kernel events that the probe met.", registry=REGISTRY)
EVENTS_LOST = Counter(
    "ebpf_events_lost", "Kernel events that were not counted, by reason.", ["reason"], registry=REGISTRY
)
MAP_USAGE = Gauge("ebpf_map_usage_percent", "How full a kernel map was.", ["map"], registry=REGISTRY)
UNKNOWN_SEGMENTS = Counter(
    "tokenflow_agent_segments_outside_pods", "TCP segments of sockets that belong to no pod.", registry=REGISTRY
)
SIGNAL_ACTIVE = Gauge(
    "tokenflow_agent_signal_active", "1 where a signal is read.", ["signal", "backend", "reason"], registry=REGISTRY
)
BATCHES = Counter(
    "tokenflow_agent_batches",
    "Batches by outcome: sent, failed, refused, dropped.",
    ["policy", "outcome"],
    registry=REGISTRY,
)
GPU_UTILIZATION = Gauge("gpu_utilization_percent", "GPU use.", ["uuid"], registry=REGISTRY)
GPU_MEMORY = Gauge("gpu_memory_used_bytes", "GPU memory in use.", ["uuid"], registry=REGISTRY)
GPU_TEMPERATURE = Gauge("gpu_temperature_celsius", "GPU temperature.", ["uuid"], registry=REGISTRY)
GPU_POWER = Gauge("gpu_power_watts", "GPU power draw.", ["uuid"], registry=REGISTRY)

MAX_SERIES: Final = 1024
"""Label sets per metric; pods beyond it count as ``~other``."""
