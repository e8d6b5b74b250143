"""Rows of the GPU table. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from tokenflow_api.windows import GpuSamples

# nvml.h, nvmlClocksEventReason*. Its first bit, GpuIdle, is left out: nothing is held back where nothing runs.
_REASONS: Final = {
    0x002: "ApplicationsClocksSetting",
    0x004: "SwPowerCap",
    0x008: "HwSlowdown",
    0x010: "SyncBoost",
    0x020: "SwThermalSlowdown",
    0x040: "HwThermalSlowdown",
    0x080: "HwPowerBrakeSlowdown",
    0x100: "DisplayClockSetting",
    0x200: "BoardLimit",
    0x400: "Reliability",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuRow:
    """State of a GPU or MIG instance; the columns of GpuSamples, except the time."""

    uuid: str
    parent_uuid: str = ""
    index: int
    model: str = ""
    utilization_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_celsius: int | None = None
    power_milliwatts: int | None = None
    power_limit_milliwatts: int | None = None
    sm_clock_mhz: int | None = None
    throttle_reasons: str = ""
    sm_occupancy_percent: int | None = None
    ecc_errors: int | None = None
    xid_errors: int | None = None


def samples(rows: Sequence[GpuRow], *, at_unix_ms: int) -> GpuSamples:
    """Return the rows as a table."""
    columns: dict[str, list[Any]] = {
        column.name: [getattr(row, column.name) for row in rows] for column in fields(GpuRow)
    }
    return GpuSamples(at_unix_ms=[at_unix_ms] * len(rows), **columns)


def percent(value: float | None) -> int | None:
    """Return a share that NVML gave in whole percent, ``None`` where it is none."""
    if value is None or math.isnan(value):
        return None
    return round(min(100.0, max(0.0, value)))


def throttle_reasons(bits: int | None) -> str:
    """Return NVML's names of what holds the clock back, joined by commas."""
    return ",".join(name for bit, name in _REASONS.items() if (bits or 0) & bit)
