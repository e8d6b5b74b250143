"""What the agent itself costs."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tokenflow_agent.delivery.state import DeliveryState
from tokenflow_agent.sources import Findings
from tokenflow_api.telemetry import AgentCost

_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return int(_STATM.read_bytes().split()[1]) * _PAGE


class CostMeter:
    """Tells what each window cost.

    Args:
        cpu_ns: returns the processor time of this process.
    """

    def __init__(self, cpu_ns: Callable[[], int] = time.process_time_ns) -> None:
        self._cpu_ns = cpu_ns
        self._cpu_before = cpu_ns()
        self._dropped_before = 0

    def take(self, found: Sequence[Findings], delivery: DeliveryState) -> AgentCost:
        """Return the cost since the last call, or since the meter was made."""
        cpu_ns, dropped = self._cpu_ns(), delivery.dropped
        maps = (percent for each in found for percent in each.map_usage_percent.values())
        cost = AgentCost(
            cpu_us=(cpu_ns - self._cpu_before) // 1000,
            bpf_us=sum(each.bpf_ns for each in found) // 1000,
            resident_bytes=resident_bytes(),
            events=sum(each.events for each in found),
            lost=sum(sum(each.lost.values()) for each in found),
            map_usage_percent=min(100, round(max(maps, default=0.0))),
            spool_bytes=delivery.spool.disk_bytes + delivery.spool.memory_bytes,
            spool_dropped=max(0, dropped - self._dropped_before),
            send_lag_ms=delivery.lag_ms,
        )
        self._cpu_before, self._dropped_before = cpu_ns, dropped
        return cost
