"""NVML, held open from reading to reading, and opened anew when the driver or a GPU went away.

It stays open because opening wakes an idle GPU, and because errors and occupancy are what happened between two
looks. Meanwhile the driver cannot be unloaded; ``close`` lets go of it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import GpuError, GpuValueError, NvmlError
from tokenflow_agent.gpu.devices import Devices
from tokenflow_agent.gpu.library import Libraries, candidates
from tokenflow_agent.gpu.opening import opened
from tokenflow_agent.gpu.processes import pods_of, table
from tokenflow_agent.gpu.reading import Fault, Reading, fault, missing, unanswered, vanished
from tokenflow_agent.gpu.rows import GpuRow, samples
from tokenflow_agent.gpu.signals import ABSENT
from tokenflow_agent.identity import Pods
from tokenflow_agent.retry import Retry

RETRY_S: Final = 30.0
"""The longest pause before NVML is opened anew: that costs little."""


class Session:
    """Reads all GPUs; to be called by one thread at a time.

    Args:
        pods: names the pods.
        proc: the host's /proc.
        names: what the linker may find a library by; by default where drivers are installed.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        pods: Pods,
        *,
        proc: Path = Path("/proc"),
        names: Callable[[], Iterable[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pods = pods
        self._proc = proc
        self._names = names or partial(candidates, proc)
        self._libraries = Libraries()
        self._devices: Devices | None = None
        self._retry = Retry(most_s=RETRY_S, clock=clock)
        self._incomplete = False
        self._refusal = Fault(reason="", message="")
        self._known: dict[str, int] = {}
        self._xids: Counter[str] = Counter()

    @property
    def restarts(self) -> int:
        """How often NVML was opened anew after a failure; looks for GPUs that never were there are none."""
        return self._retry.restarts

    def read(self) -> Reading:
        """Return the state of every GPU that answers.

        Raises:
            NvmlError: none can be read. After a pause, NVML is opened anew.
        """
        if self._incomplete and self._retry.due:
            self._drop()
        if self._devices is None and not self._retry.due:
            raise NvmlError(self._refusal.reason, self._refusal.message)
        try:
            if self._devices is None:
                self._devices = Devices(opened(self._libraries, self._names(), proc=self._proc), self._xids)
                self._retry.succeeded()
            reading = self._look(self._devices)
        except Exception as error:
            self._drop()
            self._refusal = fault(error)
            self._retry.failed(absent=not self._known and self._refusal.reason in ABSENT)
            raise NvmlError(self._refusal.reason, self._refusal.message) from error
        if reading.lost and not self._incomplete:
            # NVML sees a GPU that came back only when it is opened anew.
            self._incomplete = True
            self._retry.failed()
        return reading

    def close(self) -> None:
        """Let go of the driver; the next reading opens it without a pause."""
        self._drop()
        self._retry.forget()

    def _drop(self) -> None:
        self._incomplete = False
        if self._devices is not None:
            self._devices.close()
            self._devices = None

    def _look(self, devices: Devices) -> Reading:
        rows: list[GpuRow] = []
        held: dict[str, Mapping[int, int]] = {}
        lost: list[Fault] = []
        absent = dict(self._known)
        for index in range(devices.count()):
            try:
                state = devices.read(index)
            except (GpuError, GpuValueError) as error:
                uuid = next((uuid for uuid, known in absent.items() if known == index), "")
                lost.append(unanswered(index, uuid, error))
            else:
                uuid = state.rows[0].uuid
                rows += state.rows
                held |= state.held
                self._known[uuid] = index
            absent.pop(uuid, None)
        lost += [vanished(index, uuid) for uuid, index in absent.items()]
        devices.keep(rows)
        pids = {pid for processes in held.values() for pid in processes}
        return Reading(
            samples=samples(rows, at_unix_ms=time.time_ns() // 1_000_000),
            processes=table(held, pods_of(pids, proc=self._proc, pods=self._pods)),
            lost=tuple(lost),
            unread=tuple(missing(error) for error in devices.nvml.take_unread()),
        )
