"""The GPUs of a node while NVML is open."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.errors import NvmlError
from tokenflow_agent.gpu.nvml import Nvml
from tokenflow_agent.gpu.occupancy import Occupancy
from tokenflow_agent.gpu.processes import memory_by_pid
from tokenflow_agent.gpu.rows import GpuRow, percent, throttle_reasons
from tokenflow_agent.gpu.xids import Xids

NO_GPU: Final = "NoGPU"


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuState:
    """One GPU as it is now.

    Attributes:
        rows: itself, then its MIG instances.
        held: bytes by process, by the UUID of the row that it holds them of.
    """

    rows: Sequence[GpuRow]
    held: Mapping[str, Mapping[int, int]]


class Devices:
    """Reads GPUs.

    Args:
        nvml: opened; closed by ``close``.
        xids: errors so far by UUID.
    """

    def __init__(self, nvml: Nvml, xids: Counter[str]) -> None:
        self.nvml = nvml
        self._occupancy = Occupancy(nvml)
        self._xids = Xids(nvml, xids)

    def count(self) -> int:
        """Return how many GPUs the driver has, also such as do not answer.

        Raises:
            NvmlError: there is none.
        """
        count = int(self.nvml.ask("nvmlDeviceGetCount"))
        if not count:
            raise NvmlError(NO_GPU, "the NVIDIA driver reports no GPU")
        return count

    def read(self, index: int) -> GpuState:
        """Return the state of the GPU at ``index``.

        Raises:
            NvmlError: the driver or its library is gone.
            GpuError: the GPU is gone.
            GpuValueError: the GPU has no handle or no UUID.
        """
        gpu = self.nvml.ask("nvmlDeviceGetHandleByIndex", index)
        uuid = str(self.nvml.ask("nvmlDeviceGetUUID", gpu))
        mode = self.nvml.value("nvmlDeviceGetMigMode", gpu)
        if not mode or mode[0] != self.nvml.api.NVML_DEVICE_MIG_ENABLE:
            row = self._whole(gpu, uuid=uuid, index=index, occupancy=self._occupancy.percent(gpu, uuid=uuid))
            return GpuState(rows=[row], held={uuid: memory_by_pid(self.nvml, gpu)})
        # The counters of a GPU in parts are its instances'; its processes are told of them, too.
        rows, held = [self._whole(gpu, uuid=uuid, index=index, occupancy=None)], {}
        for row, instance in self._instances(gpu, parent=uuid):
            rows.append(row)
            held[row.uuid] = memory_by_pid(self.nvml, instance)
        return GpuState(rows=rows, held=held)

    def keep(self, rows: Sequence[GpuRow]) -> None:
        """Forget GPUs and instances that are not among ``rows``."""
        self._occupancy.keep({row.uuid for row in rows})

    def close(self) -> None:
        """Close NVML."""
        self._occupancy.keep(())
        self._xids.close()
        self.nvml.release("nvmlShutdown")

    def _whole(self, gpu: object, *, uuid: str, index: int, occupancy: int | None) -> GpuRow:
        nvml, api = self.nvml, self.nvml.api
        memory = nvml.value("nvmlDeviceGetMemoryInfo", gpu)
        utilization = nvml.value("nvmlDeviceGetUtilizationRates", gpu)
        reasons = nvml.value("nvmlDeviceGetCurrentClocksEventReasons", gpu)
        if reasons is None:
            # Its name before driver 535.
            reasons = nvml.value("nvmlDeviceGetCurrentClocksThrottleReasons", gpu)
        uncorrected = (api.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, api.NVML_VOLATILE_ECC)
        return GpuRow(
            uuid=uuid,
            index=index,
            model=nvml.value("nvmlDeviceGetName", gpu) or "",
            utilization_percent=percent(utilization.gpu if utilization else None),
            memory_used_bytes=memory.used if memory else None,
            memory_total_bytes=memory.total if memory else None,
            temperature_celsius=nvml.value("nvmlDeviceGetTemperature", gpu, api.NVML_TEMPERATURE_GPU),
            power_milliwatts=nvml.value("nvmlDeviceGetPowerUsage", gpu),
            power_limit_milliwatts=nvml.value("nvmlDeviceGetEnforcedPowerLimit", gpu),
            sm_clock_mhz=nvml.value("nvmlDeviceGetClockInfo", gpu, api.NVML_CLOCK_SM),
            throttle_reasons=throttle_reasons(reasons),
            sm_occupancy_percent=occupancy,
            ecc_errors=nvml.value("nvmlDeviceGetTotalEccErrors", gpu, *uncorrected),
            xid_errors=self._xids.count(gpu, uuid=uuid),
        )

    def _instances(self, gpu: object, *, parent: str) -> Iterator[tuple[GpuRow, object]]:
        nvml = self.nvml
        for index in range(nvml.value("nvmlDeviceGetMaxMigDeviceCount", gpu) or 0):
            instance = nvml.value("nvmlDeviceGetMigDeviceHandleByIndex", gpu, index)
            uuid = nvml.value("nvmlDeviceGetUUID", instance) if instance else None
            if uuid is None:
                continue
            memory = nvml.value("nvmlDeviceGetMemoryInfo", instance)
            number = nvml.value("nvmlDeviceGetGpuInstanceId", instance)
            row = GpuRow(
                uuid=uuid,
                parent_uuid=parent,
                index=index,
                model=nvml.value("nvmlDeviceGetName", instance) or "",
                memory_used_bytes=memory.used if memory else None,
                memory_total_bytes=memory.total if memory else None,
                sm_occupancy_percent=(
                    None if number is None else self._occupancy.percent(gpu, uuid=uuid, instance=number)
                ),
            )
            yield row, instance
