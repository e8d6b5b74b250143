"""SM occupancy, which NVML derives from two looks at a GPU's counters some time apart (GPM, Hopper and newer).

Each reading is the second look of the one before, so that the value is the mean of the time between them.
"""

from collections.abc import Collection
from typing import Any

from tokenflow_agent.gpu.nvml import Nvml
from tokenflow_agent.gpu.rows import percent


class Occupancy:
    """The last look at the counters of each GPU and MIG instance.

    Args:
        nvml: opened; its looks end with it.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._looks: dict[str, Any] = {}

    def percent(self, gpu: object, *, uuid: str, instance: int | None = None) -> int | None:
        """Return the mean occupancy since the last call for ``uuid``; ``None`` at the first, and where there is none.

        Args:
            gpu: handle of the whole GPU.
            uuid: of what is asked for.
            instance: the GPU instance's id where it is one.
        """
        before = self._looks.pop(uuid, None)
        try:
            look = self._look(gpu, instance)
            if look is None:
                return None
            self._looks[uuid] = look
            return None if before is None else self._between(before, look)
        finally:
            self._free(before)

    def keep(self, uuids: Collection[str]) -> None:
        """Forget all others."""
        for uuid in self._looks.keys() - set(uuids):
            self._free(self._looks.pop(uuid))

    def _look(self, gpu: object, instance: int | None) -> Any | None:
        support = self._nvml.value("nvmlGpmQueryDeviceSupport", gpu)
        if support is None or not support.isSupportedDevice:
            return None
        look = self._nvml.value("nvmlGpmSampleAlloc")
        if look is None:
            return None
        taken = None
        try:
            if instance is None:
                taken = self._nvml.value("nvmlGpmSampleGet", gpu, look)
            else:
                taken = self._nvml.value("nvmlGpmMigSampleGet", gpu, instance, look)
        finally:
            if taken is None:
                self._free(look)
        return taken

    def _between(self, before: object, after: object) -> int | None:
        api = self._nvml.api
        asked = api.c_nvmlGpmMetricsGet_t(
            version=api.NVML_GPM_METRICS_GET_VERSION, numMetrics=1, sample1=before, sample2=after
        )
        asked.metrics[0].metricId = api.NVML_GPM_METRIC_SM_OCCUPANCY
        answer = self._nvml.value("nvmlGpmMetricsGet", asked)
        if answer is None or answer.metrics[0].nvmlReturn != api.NVML_SUCCESS:
            return None
        return percent(answer.metrics[0].value)

    def _free(self, look: object) -> None:
        if look is not None:
            self._nvml.release("nvmlGpmSampleFree", look)
