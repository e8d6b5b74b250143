"""Backends in the kernel: at the event of a connection that was put into an accept queue."""

import asyncio
import os
import struct
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from tokenflow_agent.errors import KernelError, ProbeError
from tokenflow_agent.kernel.bpf import ProgramType, attach_kprobe, attach_raw_tracepoint
from tokenflow_agent.kernel.call import ARGUMENTS, call
from tokenflow_agent.kernel.cost import spent_ns
from tokenflow_agent.kernel.loader import Loaded, Program, Unit, load
from tokenflow_agent.kernel.maps import BpfMap, processors, summed
from tokenflow_agent.listen.overflows import Overflows
from tokenflow_agent.listen.reading import Harvest, Reading
from tokenflow_agent.listen.waiting import Waiting
from tokenflow_agent.sockets.namespaces import Survey

MAX_QUEUES: Final = 4096
_SOURCE: Final = Path(__file__).parent / "program.c"
_TRACEPOINT: Final = "sk_data_ready"
_FUNCTION: Final = "tcp_child_process"
"""Gets the listener and its new connection; kernels before 6.3 lack the tracepoint."""
_MACROS: Final = {ProgramType.TRACING: {"DIRECT": 1}, ProgramType.RAW_TRACEPOINT: {}, ProgramType.KPROBE: {"KPROBE": 1}}
_AGAIN: Final = "look_again"
_OFFSETS: Final = {
    "OFF_STATE": ("sock_common", "skc_state"),
    "OFF_NUM": ("sock_common", "skc_num"),
    "OFF_NET": ("sock_common", "skc_net"),
    "OFF_NET_INODE": ("net", "ns", "inum"),
    "OFF_BACKLOG": ("sock", "sk_ack_backlog"),
    "OFF_LIMIT": ("sock", "sk_max_ack_backlog"),
    "OFF_DROPS": ("sock", "sk_drops"),
    "OFF_SOCK_CGROUP": ("sock", "sk_cgrp_data", "cgroup"),
    "OFF_CGROUP_NODE": ("cgroup", "kn"),
    "OFF_NODE_ID": ("kernfs_node", "id"),
}
_GRACE_S: Final = 0.01
"""After the maps are swapped, programs that had begun before still write to the old one."""
_SLOT: Final = struct.Struct("=I")
_KEY: Final = struct.Struct("=Q")
_VALUE: Final = struct.Struct("=Q8I")


class _Counts(NamedTuple):
    """What the programs count of themselves, since they were loaded: ``struct counters_t``."""

    runs: int = 0
    timed: int = 0
    timed_ns: int = 0
    events: int = 0
    map_full: int = 0


class _Queue(NamedTuple):
    """``struct queue_t`` of the program."""

    cgroup: int
    network: int
    port: int
    limit: int
    longest: int
    length: int
    drops: int
    first_drops: int
    unused: int

    @property
    def owner(self) -> tuple[int, int, int]:
        return self.cgroup, self.network, self.port


class ListenPrograms:
    """Attached to the kernel until ``close``.

    Args:
        loaded: maps and programs.
        link: keeps the program attached.
        networks: returns the network namespaces of the node.
    """

    def __init__(self, loaded: Loaded, link: int, networks: Callable[[], Survey]) -> None:
        self._loaded = loaded
        self._link = link
        maps = loaded.maps
        self._queues = [BpfMap(maps[name], key=_KEY, value=_VALUE) for name in ("queues_0", "queues_1")]
        self._parity = BpfMap(maps["parity"], key=_SLOT, value=_SLOT)
        self._counters = BpfMap(maps["counters"], key=_SLOT, value=struct.Struct("=" + "5Q" * processors()))
        self._half = 0
        self._counted = _Counts()
        self._known: dict[int, _Queue] = {}
        """By the socket's address, the one that was met last at the end."""
        self._again: list[int] = []
        """Addresses of queues that were not empty when the window began."""
        self._overflows = Overflows(networks)
        self._waiting = Waiting(networks)

    async def harvest(self) -> Harvest:
        """Swap the maps and return what is in the old one; look at queues that were not empty, before and after.

        Raises:
            ProbeError: the kernel refused.
        """
        try:
            self._look_again()
            old, self._half = self._queues[self._half], self._half ^ 1
            self._parity.put((0,), (self._half,))
            await asyncio.sleep(_GRACE_S)
            met = {key[0]: _Queue._make(value) for key, value in old.drain(most=MAX_QUEUES)}
            gone = set(self._again) - met.keys()
            # What waits already counts for the next window, too.
            self._again = [sk for sk, queue in met.items() if queue.length]
            self._look_again()
            counted = self._count()
        except OSError as error:
            raise ProbeError("MapUnreadable", f"the kernel refused to look at listening sockets: {error}") from error
        grown = _Counts(*(now - before for now, before in zip(counted, self._counted, strict=True)))
        self._counted = counted
        readings = self._take(met, gone)
        return Harvest(
            readings=await self._complete(readings),
            events=grown.events,
            lost={"MapFull": grown.map_full},
            map_usage_percent={"listen": 100.0 * len(met) / MAX_QUEUES},
            bpf_ns=spent_ns(grown.runs, timed=counted.timed, timed_ns=counted.timed_ns),
        )

    def close(self) -> None:
        """Detach: the kernel drops the programs with their last descriptor."""
        self._loaded.close()
        os.close(self._link)

    def _count(self) -> _Counts:
        return _Counts._make(summed(self._counters.get(0) or (), members=len(_Counts._fields)))

    def _look_again(self) -> None:
        for start in range(0, len(self._again), ARGUMENTS):
            call(self._loaded.programs[_AGAIN], *self._again[start : start + ARGUMENTS])

    def _take(self, met: dict[int, _Queue], gone: Iterable[int]) -> list[Reading]:
        for sk in gone:
            self._known.pop(sk, None)
        readings = [_reading(queue, self._known.pop(sk, None)) for sk, queue in met.items()]
        self._known |= met
        for sk in list(islice(self._known, max(0, len(self._known) - MAX_QUEUES))):
            del self._known[sk]
        return readings

    async def _complete(self, readings: list[Reading]) -> list[Reading]:
        if self._waiting.over and not self._overflows.must_read(readings):
            return self._overflows.attribute(readings)
        return await asyncio.to_thread(self._look_at_networks, readings)

    def _look_at_networks(self, readings: list[Reading]) -> list[Reading]:
        known = {queue.owner[1:] for queue in self._known.values()}
        waiting = [] if self._waiting.over else self._waiting.since_before(known)
        return self._overflows.attribute(readings + waiting)


def _reading(queue: _Queue, before: _Queue | None) -> Reading:
    start = queue.first_drops
    # The kernel gives the address of a socket that was closed to another one.
    if before and before.owner == queue.owner and before.drops <= queue.drops:
        start = before.drops
    return Reading(
        cgroup=queue.cgroup,
        network=queue.network,
        port=queue.port,
        backlog=queue.longest,
        limit=queue.limit,
        drops=queue.drops - start,
    )


async def open_programs(kind: ProgramType, networks: Callable[[], Survey]) -> ListenPrograms:
    """Attach to the kernel.

    Args:
        kind: TRACING for the tracepoint with a typed argument, which is followed without helpers; RAW_TRACEPOINT
            for the same without types; KPROBE for the entry of a function.
        networks: returns the network namespaces of the node.

    Raises:
        ProbeError: the node does not allow it.
    """
    loaded = await load(
        Unit(
            source=_SOURCE,
            programs=[Program(_TRACEPOINT, kind, _TRACEPOINT), Program(_AGAIN, ProgramType.RAW_TRACEPOINT)],
            maps=["queues_0", "queues_1", "parity", "counters"],
            constants={"MAX_QUEUES": MAX_QUEUES, "ARGUMENTS": ARGUMENTS, **_MACROS[kind]},
            offsets=_OFFSETS,
        )
    )
    program = loaded.programs[_TRACEPOINT]
    try:
        if kind is ProgramType.KPROBE:
            link = attach_kprobe(program, _FUNCTION)
        else:
            link = attach_raw_tracepoint(program, None if kind is ProgramType.TRACING else _TRACEPOINT)
    except KernelError:
        loaded.close()
        raise
    return ListenPrograms(loaded, link, networks)
