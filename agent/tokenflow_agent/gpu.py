"""Reads the node's GPUs through NVML. A node without any is no error."""

import time
from dataclasses import dataclass
from typing import Final

import pynvml

from tokenflow_api.telemetry import GpuSamples, Signal, SignalState
from tokenflow_api.telemetry_agent import GpuMode

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
    )
