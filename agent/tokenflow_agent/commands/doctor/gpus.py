"""Checks the GPUs."""

from collections.abc import Sequence
from pathlib import Path

from tokenflow_agent.commands.doctor.check import Check, State
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.gpu.library import Libraries, candidates
from tokenflow_agent.gpu.opening import opened
from tokenflow_agent.gpu.reading import Fault
from tokenflow_agent.gpu.signals import refused
from tokenflow_api.telemetry import SignalState
from tokenflow_api.telemetry_agent import GpuMode


def gpus(root: Path, mode: GpuMode) -> Sequence[Check]:
    """Check that NVML answers."""
    if mode is GpuMode.OFF:
        return [Check("GPU", State.OK, 'spec.gpu.mode is "Off"')]
    proc = root / "proc"
    try:
        nvml = opened(Libraries(), candidates(proc), proc=proc)
        count = nvml.ask("nvmlDeviceGetCount")
    except ProbeError as error:
        return [absent(error, mode)]
    return [Check("GPU", State.OK, f"NVML answers, GPUs: {count}")]


def absent(error: ProbeError, mode: GpuMode) -> Check:
    """Judge why NVML does not answer: most nodes have no GPU."""
    fault = Fault(reason=error.reason, message=error.message)
    signal = refused(fault, expected=mode is GpuMode.REQUIRED)
    if signal.state is SignalState.OFF:
        return Check("GPU", State.OK, f"none: {signal.message}")
    return Check("GPU", State.FAIL, signal.message)
