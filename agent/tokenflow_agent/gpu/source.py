"""Reads the node's GPUs through NVML. A node without any is no error."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pynvml

from tokenflow_agent.sources import Findings, Window
from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import Gpu, GpuMode, TelemetryAgentSpec
from tokenflow_api.windows import GpuSamples

NAME: Final = "GPU"
BACKEND: Final = "NVML"


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One look at all GPUs: what was seen, and how well."""

    samples: GpuSamples
    signal: Signal


def read(mode: GpuMode) -> GpuReading:
    """Return the state of every GPU of the node.

    NVML is opened for each reading and closed again, so that a driver that is loaded anew, or a GPU that comes
    back, is seen without a restart.
    """
    if mode is GpuMode.OFF:
        return GpuReading(GpuSamples(), Signal(name=NAME, state=SignalState.OFF, reason="Disabled"))
    try:
        pynvml.nvmlInit()
        try:
            samples = _samples()
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return _without(mode, reason=f"NVML{type(error).__name__.removeprefix('NVMLError_')}", words=str(error))
    if not len(samples):
        return _without(mode, reason="NoGPU", words="the driver reports no GPU")
    return GpuReading(samples, Signal(name=NAME, backend=BACKEND, state=SignalState.ACTIVE))


def _without(mode: GpuMode, *, reason: str, words: str) -> GpuReading:
    required = mode is GpuMode.REQUIRED
    remedy = "install the NVIDIA driver and its libnvidia-ml.so.1, or set spec.gpu.mode: Auto" if required else ""
    signal = Signal(
        name=NAME,
        state=SignalState.DEGRADED if required else SignalState.OFF,
        reason=reason,
        message=f"{words}: {remedy}" if remedy else words,
    )
    return GpuReading(GpuSamples(), signal)


def _samples() -> GpuSamples:
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    memory = [pynvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
    return GpuSamples(
        at_unix_ms=[time.time_ns() // 1_000_000] * len(handles),
        uuid=[str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles],
        utilization_percent=[int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) for handle in handles],
        memory_used_bytes=[int(info.used) for info in memory],
        memory_total_bytes=[int(info.total) for info in memory],
        temperature_celsius=[
            int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)) for handle in handles
        ],
        power_milliwatts=[int(pynvml.nvmlDeviceGetPowerUsage(handle)) for handle in handles],
        parent_uuid=[""] * len(handles),
        index=list(range(len(handles))),
        model=[""] * len(handles),
        throttle_reasons=[""] * len(handles),
        power_limit_milliwatts=[None] * len(handles),
        sm_clock_mhz=[None] * len(handles),
        sm_occupancy_percent=[None] * len(handles),
        ecc_errors=[None] * len(handles),
        xid_errors=[None] * len(handles),
    )


class GpuSource:
    """Reads the GPUs at their own interval."""

    def __init__(self) -> None:
        self._spec = Gpu()
        self._due = 0.0
        self._signal = Signal(name=NAME, state=SignalState.OFF)

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Read as ``spec`` asks."""
        self._spec = spec.gpu

    async def collect(self, window: Window) -> Findings:  # noqa: ARG002
        """Return the GPUs' state where it is due."""
        if time.monotonic() < self._due:
            return Findings()
        self._due = time.monotonic() + seconds(self._spec.interval)
        reading = await asyncio.to_thread(read, self._spec.mode)
        self._signal = reading.signal
        return Findings(gpu=reading.samples)

    def signals(self) -> Sequence[Signal]:
        """Return how the GPUs are read."""
        return [self._signal]

    async def close(self) -> None:
        """Nothing is held between two readings."""
