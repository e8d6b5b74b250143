"""How well the GPUs are read, in words. Pure."""

from typing import Final

from tokenflow_agent.gpu.devices import NO_GPU
from tokenflow_agent.gpu.opening import NO_DRIVER, NO_LIBRARY
from tokenflow_agent.gpu.reading import Fault, Reading
from tokenflow_api.telemetry import Signal, SignalState

NAME: Final = "GPU"
BACKEND: Final = "NVML"
OFF: Final = Signal(name=NAME, state=SignalState.OFF, reason="Disabled")
STARTING: Final = Signal(name=NAME, state=SignalState.DEGRADED, reason="Starting", message="not read yet")
OVERDUE: Final = Signal(
    name=NAME,
    state=SignalState.DEGRADED,
    reason="NVMLTimeout",
    message="the NVIDIA driver does not answer: look for NVRM in dmesg, and restart the node if it stays so",
)

ABSENT: Final = frozenset({NO_LIBRARY, NO_DRIVER, NO_GPU})
"""Reasons of a node that has no GPUs."""
_LONGEST: Final = 1024


def answered(reading: Reading) -> Signal:
    """Return how a reading went that brought something."""
    faults = (*reading.lost, *reading.unread)
    if not faults:
        return Signal(name=NAME, backend=BACKEND, state=SignalState.ACTIVE)
    return Signal(
        name=NAME,
        backend=BACKEND if len(reading.samples) else "",
        state=SignalState.DEGRADED,
        reason=faults[0].reason,
        message="; ".join(fault.message for fault in faults)[:_LONGEST],
    )


def refused(fault: Fault, *, expected: bool) -> Signal:
    """Return how a reading went that brought nothing.

    Args:
        fault: why.
        expected: whether there should be GPUs; where not, their absence is no fault.
    """
    if fault.reason not in ABSENT:
        return Signal(name=NAME, state=SignalState.DEGRADED, reason=fault.reason, message=fault.message[:_LONGEST])
    if not expected:
        return Signal(name=NAME, state=SignalState.OFF, reason=fault.reason, message=fault.message)
    words = f"{fault.message}: install the NVIDIA driver and its libnvidia-ml.so.1, or set spec.gpu.mode: Auto"
    return Signal(name=NAME, state=SignalState.DEGRADED, reason=fault.reason, message=words)
