"""The attached program, as the agent sees it: one reading of all windows at a time."""

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.ebpf.compile import MAPS, MAX_KEYS, PROBES
from tokenflow_agent.ebpf.maps import BpfMap
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.windows import Reading
from tokenflow_api.telemetry import Direction

BACKEND: Final = "BCCRawTracepoint"
_COMPILE_S: Final = 30.0
_GRACE_S: Final = 0.01
"""After the halves are swapped, programs that had begun before still write to the old one."""
_KEY: Final = struct.Struct("=Q16sHBBI")
_VALUE: Final = struct.Struct("=QQQII")
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)
_NO_RTT: Final = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """One reading.

    Attributes:
        readings: what was counted since the last reading.
        events: kernel events since the last reading.
        lost: those of them that found the map full.
        map_usage_percent: how full the map was.
    """

    readings: list[Reading]
    events: int
    lost: int
    map_usage_percent: float


class TcpProbe:
    """Attached to the kernel until ``close``.

    The map has two halves: the kernel counts in one while the other is read and emptied, so that no count is
    lost in between.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        windows, epoch, counters, *self._programs = descriptors
        self._windows = BpfMap(windows, key=_KEY, value=_VALUE)
        self._epoch = BpfMap(epoch, key=struct.Struct("=I"), value=struct.Struct("=I"))
        self._counters = BpfMap(counters, key=struct.Struct("=I"), value=struct.Struct("=Q"))
        self._half = 0
        self._counted = (0, 0)

    async def harvest(self) -> Harvest:
        """Swap the halves and return what is in the old one.

        Raises:
            ProbeError: the kernel refused to read the map.
        """
        old, self._half = self._half, self._half ^ 1
        try:
            self._epoch.put((0,), (self._half,))
            await asyncio.sleep(_GRACE_S)
            keys = list(self._windows.keys(most=MAX_KEYS))
            readings = [self._take(key) for key in keys if key[4] == old]
            counted = (self._count(0), self._count(1))
        except OSError as error:
            raise ProbeError("MapUnreadable", f"the kernel refused to read the map: {error}") from error
        events, lost = (now - before for now, before in zip(counted, self._counted, strict=True))
        self._counted = counted
        return Harvest(
            readings=[reading for reading in readings if reading is not None],
            events=events,
            lost=lost,
            map_usage_percent=100.0 * len(keys) / MAX_KEYS,
        )

    def close(self) -> None:
        """Detach: the kernel drops the programs with their last descriptor."""
        for held in (self._windows, self._epoch, self._counters):
            held.close()
        for program in self._programs:
            os.close(program)

    def _take(self, key: tuple[int | bytes, ...]) -> Reading | None:
        value = self._windows.get(*key)
        self._windows.delete(*key)
        if value is None:
            return None
        cgroup, remote, port, direction, _, _ = _KEY.unpack(_KEY.pack(*key))
        segments, rtt_sum, retransmits, rtt_min, rtt_max = _VALUE.unpack(_VALUE.pack(*value))
        return Reading(
            cgroup=cgroup,
            remote=remote,
            service_port=port,
            direction=_DIRECTIONS[direction],
            segments=segments,
            rtt_sum_us=rtt_sum,
            rtt_min_us=0 if rtt_min == _NO_RTT else rtt_min,
            rtt_max_us=rtt_max,
            retransmits=retransmits,
        )

    def _count(self, slot: int) -> int:
        value = self._counters.get(slot)
        return int(value[0]) if value else 0


async def attach(probes: Sequence[str] = PROBES) -> TcpProbe:
    """Have the program compiled and attached by a child process, and take it over.

    Args:
        probes: tracepoints to attach to.

    Raises:
        ProbeError: it could not be; the reason says why.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tokenflow_agent.ebpf.compile", str(theirs.fileno()), *probes),
                pass_fds=[theirs.fileno()],
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ProbeError("CompilerFailed", f"the compiling process cannot be started: {error}") from error
        theirs.close()
        try:
            async with asyncio.timeout(_COMPILE_S):
                data, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 65536, len(MAPS) + len(PROBES))
                _, words = await child.communicate()
        except TimeoutError as error:
            child.kill()
            await child.wait()
            raise ProbeError("CompileTimeout", f"the program was not compiled in {_COMPILE_S:.0f} s") from error
    if not data:
        last = words.decode(errors="replace").strip().splitlines()[-1:]
        raise ProbeError("CompilerFailed", f"the compiling process died ({child.returncode}): {' '.join(last)}")
    answer = json.loads(data)
    if answer:
        raise ProbeError(answer["reason"], answer["message"])
    return TcpProbe(descriptors)
