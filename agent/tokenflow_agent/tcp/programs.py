"""Backends in the kernel: everything is summed up there, and read once per window."""

import asyncio
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel.bpf import attach_kprobe, attach_raw_tracepoint, missed_runs
from tokenflow_agent.kernel.btf import VMLINUX
from tokenflow_agent.kernel.cost import spent_ns
from tokenflow_agent.kernel.loader import Loaded, Program, Unit, load
from tokenflow_agent.kernel.maps import BpfMap, processors, summed
from tokenflow_agent.tcp.histogram import BUCKETS
from tokenflow_agent.tcp.hooks import HOOKS, OFFSETS, Hook, Way
from tokenflow_agent.tcp.layout import CONFIG, KEY, SLOT, VALUE, reading
from tokenflow_agent.tcp.reading import Harvest
from tokenflow_api.telemetry_agent import Ebpf

_SOURCE: Final = Path(__file__).parent / "program.c"
_GRACE_S: Final = 0.01
"""After the maps are swapped, programs that had begun before still write to the old one."""
_MACROS: Final = {Way.TYPED: {"DIRECT": 1}, Way.RAW: {}, Way.KPROBE: {"KPROBE": 1}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Sizes of the kernel's maps.

    Attributes:
        keys: cgroups, directions, ports and networks in one window: twice the rows that can be reported.
        sockets: those that are remembered; beyond it the one that was longest without traffic is forgotten.
    """

    keys: int = 8192
    sockets: int = 16_384


class _Counts(NamedTuple):
    """What the programs count of themselves, since they were loaded; ``missed`` the kernel counts."""

    runs: int = 0
    timed: int = 0
    timed_ns: int = 0
    map_full: int = 0
    missed: int = 0


class TcpPrograms:
    """In the kernel until ``close``.

    There are two maps: the kernel counts in one while the other is read and emptied, so that no count is lost in
    between.
    """

    def __init__(self, loaded: Loaded, way: Way, limits: Limits) -> None:
        self._loaded = loaded
        self._way = way
        self._limits = limits
        self._links: dict[str, list[int]] = {}
        maps = loaded.maps
        self._windows = [BpfMap(maps[name], key=KEY, value=VALUE) for name in ("windows_0", "windows_1")]
        self._config = BpfMap(maps["config"], key=SLOT, value=CONFIG)
        self._counters = BpfMap(maps["counters"], key=SLOT, value=struct.Struct("=" + "4Q" * processors()))
        self._epoch = 1
        self._sample_one_in = 1
        self._counted = _Counts()

    def follow(self, ebpf: Ebpf) -> None:
        """Attach what the probes need, detach the rest, and sample as asked.

        Raises:
            ProbeError: the kernel refused.
        """
        if ebpf.sample_one_in != self._sample_one_in or not self._links:
            self._sample_one_in = ebpf.sample_one_in
            self._configure()
        wanted = [hook for hook in HOOKS if set(hook.probes) & set(ebpf.probes)]
        for program in self._links.keys() - {hook.program for hook in wanted}:
            self._detach(program)
        for hook in wanted:
            if hook.program not in self._links:
                self._attach(hook)

    async def harvest(self) -> Harvest:
        """Swap the maps and return what is in the old one.

        Raises:
            ProbeError: the kernel refused to read the maps.
        """
        old = self._windows[self._epoch % 2]
        self._epoch += 1
        self._configure()
        await asyncio.sleep(_GRACE_S)
        try:
            readings = [reading(key, value) for key, value in old.drain(most=self._limits.keys)]
            counted = self._count()
        except OSError as error:
            raise ProbeError("MapUnreadable", f"the kernel refused to read the map: {error}") from error
        if "reset_sent" not in self._links:
            readings = [each._replace(resets=None) for each in readings]
        grown = _Counts(*(now - before for now, before in zip(counted, self._counted, strict=True)))
        self._counted = counted
        return Harvest(
            readings=readings,
            events=grown.runs + grown.missed,
            lost={"MapFull": grown.map_full, "Reentered": grown.missed},
            map_usage_percent={"tcp": 100.0 * len(readings) / self._limits.keys},
            bpf_ns=spent_ns(grown.runs, timed=counted.timed, timed_ns=counted.timed_ns),
        )

    def close(self) -> None:
        """Detach: the kernel drops the programs with their last descriptor."""
        for program in list(self._links):
            self._detach(program)
        self._loaded.close()

    def _attach(self, hook: Hook) -> None:
        descriptor = self._loaded.programs[hook.program]
        links = self._links.setdefault(hook.program, [])
        if self._way is Way.KPROBE:
            links.extend(attach_kprobe(descriptor, function) for function in hook.functions)
        else:
            links.append(attach_raw_tracepoint(descriptor, None if self._way is Way.TYPED else hook.tracepoint))

    def _detach(self, program: str) -> None:
        for link in self._links.pop(program):
            os.close(link)

    def _configure(self) -> None:
        try:
            self._config.put((0,), (self._epoch, self._sample_one_in))
        except OSError as error:
            raise ProbeError("MapUnwritable", f"the kernel refused to write to the map: {error}") from error

    def _count(self) -> _Counts:
        missed = sum(missed_runs(program) for program in self._loaded.programs.values())
        return _Counts._make([*summed(self._counters.get(0) or (), members=len(_Counts._fields) - 1), missed])


async def open_programs(way: Way, ebpf: Ebpf, *, limits: Limits | None = None, btf: Path = VMLINUX) -> TcpPrograms:
    """Bring the programs into the kernel.

    Args:
        way: how they are attached.
        ebpf: what is read.
        limits: sizes of the maps.
        btf: type information of the running kernel.

    Raises:
        ProbeError: the node does not allow it.
    """
    limits = limits or Limits()
    loaded = await load(
        Unit(
            source=_SOURCE,
            programs=[Program(hook.program, way.value, hook.tracepoint) for hook in HOOKS],
            maps=["windows_0", "windows_1", "config", "counters"],
            constants={"MAX_KEYS": limits.keys, "MAX_SOCKETS": limits.sockets, "BUCKETS": BUCKETS, **_MACROS[way]},
            offsets=OFFSETS,
            btf=btf,
        )
    )
    programs = TcpPrograms(loaded, way, limits)
    try:
        programs.follow(ebpf)
    except ProbeError:
        programs.close()
        raise
    return programs
