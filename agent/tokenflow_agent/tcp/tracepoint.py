"""Backends on the kernel's TCP tracepoints: everything is summed up in the kernel."""

import asyncio
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import KernelError, ProbeError
from tokenflow_agent.kernel.bpf import ProgramType, attach_raw_tracepoint
from tokenflow_agent.kernel.loader import Loaded, Program, Unit, load
from tokenflow_agent.kernel.maps import BpfMap
from tokenflow_agent.tcp.reading import Harvest, Reading
from tokenflow_api.telemetry_agent import Ebpf
from tokenflow_api.windows import Direction

MAX_KEYS: Final = 16_384
_SOURCE: Final = Path(__file__).parent / "program.c"
_TRACEPOINTS: Final = ("tcp_probe", "tcp_retransmit_skb")
_OFFSETS: Final = {
    "OFF_FAMILY": ("sock_common", "skc_family"),
    "OFF_DADDR": ("sock_common", "skc_daddr"),
    "OFF_V6_DADDR": ("sock_common", "skc_v6_daddr"),
    "OFF_NUM": ("sock_common", "skc_num"),
    "OFF_DPORT": ("sock_common", "skc_dport"),
    "OFF_SOCK_CGROUP": ("sock", "sk_cgrp_data", "cgroup"),
    "OFF_CGROUP_NODE": ("cgroup", "kn"),
    "OFF_NODE_ID": ("kernfs_node", "id"),
    "OFF_SRTT": ("tcp_sock", "srtt_us"),
}
_GRACE_S: Final = 0.01
"""After the halves are swapped, programs that had begun before still write to the old one."""
_KEY: Final = struct.Struct("=Q16sHBBI")
_VALUE: Final = struct.Struct("=QQQII")
_DIRECTIONS: Final = (Direction.SERVED, Direction.DIALED)
_NO_RTT: Final = 0xFFFFFFFF


class TcpTracepoints:
    """Attached to the kernel until ``close``.

    The map has two halves: the kernel counts in one while the other is read and emptied, so that no count is
    lost in between.
    """

    def __init__(self, loaded: Loaded, links: Sequence[int]) -> None:
        self._loaded = loaded
        self._links = links
        self._windows = BpfMap(loaded.maps["windows"], key=_KEY, value=_VALUE)
        self._epoch = BpfMap(loaded.maps["epoch"], key=struct.Struct("=I"), value=struct.Struct("=I"))
        self._counters = BpfMap(loaded.maps["counters"], key=struct.Struct("=I"), value=struct.Struct("=Q"))
        self._half = 0
        self._counted = (0, 0)

    def follow(self, ebpf: Ebpf) -> None:
        """Read everything, whatever is asked for."""

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
            lost={"MapFull": lost},
            map_usage_percent={"tcp": 100.0 * len(keys) / MAX_KEYS},
        )

    def close(self) -> None:
        """Detach: the kernel drops the programs with their last descriptor."""
        self._loaded.close()
        for link in self._links:
            os.close(link)

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
            samples=segments,
            srtt_sum_us=rtt_sum,
            rttvar_sum_us=0,
            retransmits=retransmits,
        )

    def _count(self, slot: int) -> int:
        value = self._counters.get(slot)
        return int(value[0]) if value else 0


async def open_tracepoints(*, direct: bool) -> TcpTracepoints:
    """Attach to the kernel's TCP tracepoints.

    Args:
        direct: with typed arguments, which are followed without helpers; else as plain raw tracepoints.

    Raises:
        ProbeError: the node does not allow it.
    """
    kind = ProgramType.TRACING if direct else ProgramType.RAW_TRACEPOINT
    loaded = await load(
        Unit(
            source=_SOURCE,
            programs=[Program(name, kind, name) for name in _TRACEPOINTS],
            maps=["windows", "epoch", "counters"],
            constants={"MAX_KEYS": MAX_KEYS, **({"DIRECT": 1} if direct else {})},
            offsets=_OFFSETS,
        )
    )
    links: list[int] = []
    try:
        for name in _TRACEPOINTS:
            links.append(attach_raw_tracepoint(loaded.programs[name], None if direct else name))  # noqa: PERF401 - those that are attached must be let go when one is refused
    except KernelError:
        loaded.close()
        for link in links:
            os.close(link)
        raise
    return TcpTracepoints(loaded, links)
