"""XID errors: the faults that the driver reports of a GPU, as events of NVML."""

from collections import Counter
from typing import Any, Final

from tokenflow_agent.errors import GpuValueError
from tokenflow_agent.gpu.nvml import Nvml

_MOST: Final = 256
"""Events taken in one reading; a GPU that reports more is read on in the next one."""


class Xids:
    """Events that wait for each GPU, in a set of its own: one that is lost must not hide the others'.

    Args:
        nvml: opened; the sets end with it.
        counts: events so far by the GPU's UUID; outlives this NVML.
    """

    def __init__(self, nvml: Nvml, counts: Counter[str]) -> None:
        self._nvml = nvml
        self._counts = counts
        self._sets: dict[str, Any | None] = {}

    def count(self, gpu: object, *, uuid: str) -> int | None:
        """Return how many errors this GPU has reported so far; ``None`` where it reports none."""
        if uuid not in self._sets:
            self._sets[uuid] = self._registered(gpu)
        events = self._sets[uuid]
        if events is None:
            return None
        for _ in range(_MOST):
            if not self._taken(events):
                break
            self._counts[uuid] += 1
        return self._counts[uuid]

    def close(self) -> None:
        """Listen no more."""
        for events in self._sets.values():
            if events is not None:
                self._nvml.release("nvmlEventSetFree", events)
        self._sets.clear()

    def _registered(self, gpu: object) -> Any | None:
        events = self._nvml.value("nvmlEventSetCreate")
        if events is None:
            return None
        try:
            self._nvml.ask("nvmlDeviceRegisterEvents", gpu, self._nvml.api.nvmlEventTypeXidCriticalError, events)
        except GpuValueError as error:
            self._nvml.note(error)
            self._nvml.release("nvmlEventSetFree", events)
            return None
        return events

    def _taken(self, events: object) -> bool:
        try:
            self._nvml.ask("nvmlEventSetWait_v2", events, 0)
        except GpuValueError as error:
            if error.reason != "NVMLTimeout":
                self._nvml.note(error)
            return False
        return True
