"""The bpf(2) and perf_event_open(2) system calls, as far as the agent needs them.

bcc loads and attaches only in the ways that it knows, and only where its compiler is; these calls work with the
descriptors that the compiling child hands over.
"""

import ctypes
import errno
import fcntl
import os
from contextlib import suppress
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import KernelError

_SYSCALLS: Final = {"x86_64": (321, 298), "aarch64": (280, 241)}
_PROG_LOAD: Final = 5
_RAW_TRACEPOINT_OPEN: Final = 17
_OBJ_GET_INFO_BY_FD: Final = 15
_LINK_CREATE: Final = 28
_ENABLE_STATS: Final = 32
_TRACE_RAW_TP: Final = 23
_TRACE_UPROBE_MULTI: Final = 48
_AT_RETURN: Final = 1
_LOG_BYTES: Final = 1 << 20
_LOG_TAIL: Final = 600
_PERF_CLOSE_ON_EXEC: Final = 8
_IOC_SET_BPF: Final = 0x40042408
_IOC_ENABLE: Final = 0x2400
_PMUS: Final = Path("/sys/bus/event_source/devices")

REMEDY: Final = "allow the capabilities BPF and PERFMON, or set spec.security: Privileged where the runtime lacks them"

_libc = ctypes.CDLL(None, use_errno=True)


class ProgramType(IntEnum):
    """What a program is attached to, in the kernel's numbers (``enum bpf_prog_type``)."""

    KPROBE = 2
    """Also uprobes."""
    RAW_TRACEPOINT = 17
    TRACING = 26
    """Raw tracepoints with typed arguments, which may be read without a helper."""


_ATTACH_TYPES: Final = {ProgramType.TRACING: _TRACE_RAW_TP, ProgramType.KPROBE: _TRACE_UPROBE_MULTI}
"""Kernels before 6.6 know nothing of the last one, and do not mind."""


class _Load(ctypes.Structure):
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
        ("prog_btf_fd", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("func_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("line_info_cnt", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("attach_prog_fd", ctypes.c_uint32),
    )


class _RawTracepoint(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint64), ("prog_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32))


class _UprobeLink(ctypes.Structure):
    """The part of ``union bpf_attr`` that ties a program to functions of a file."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("link_flags", ctypes.c_uint32),
        ("path", ctypes.c_uint64),
        ("offsets", ctypes.c_uint64),
        ("reference_counters", ctypes.c_uint64),
        ("cookies", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


class _Info(ctypes.Structure):
    _fields_ = (("bpf_fd", ctypes.c_uint32), ("info_len", ctypes.c_uint32), ("info", ctypes.c_uint64))


class _ProgramInfo(ctypes.Structure):
    """``struct bpf_prog_info`` up to its run statistics; kernels before 5.12 leave the last one 0."""

    _fields_ = (("before", ctypes.c_ubyte * 208), ("recursion_misses", ctypes.c_uint64))


class _PerfEvent(ctypes.Structure):
    """``struct perf_event_attr`` of the kernel's first revision with ``config2``."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
        ("config2", ctypes.c_uint64),
    )


def bpf(command: int, attribute: ctypes.Structure) -> int:
    """Have the kernel carry out a command on BPF objects.

    Raises:
        OSError: the kernel refused.
    """
    return _checked(_numbers()[0], command, ctypes.byref(attribute), ctypes.sizeof(attribute))


def load_program(code: bytes, *, kind: ProgramType, name: str, attach_btf_id: int = 0) -> int:
    """Return the descriptor of a loaded program.

    Args:
        code: its instructions.
        kind: what it is for.
        name: its name, for whoever lists programs; 15 characters of it are kept.
        attach_btf_id: for TRACING: id of the tracepoint's type.

    Raises:
        KernelError: the kernel refused; the message ends with the verifier's last words.
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attribute = _Load(
        prog_type=kind,
        insn_cnt=len(code) // 8,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(licence),
        prog_name=name[:15].encode(),
        expected_attach_type=_ATTACH_TYPES.get(kind, 0),
        attach_btf_id=attach_btf_id,
    )
    try:
        return bpf(_PROG_LOAD, attribute)
    except OSError as first:
        # The verifier says EACCES; EPERM is a matter of privilege.
        if first.errno == errno.EPERM:
            raise _refused(f"loading {name}", first) from first
        # Again with a log, which is too slow to ask for at first.
        attribute.log_level, attribute.log_size, attribute.log_buf = 1, _LOG_BYTES, ctypes.addressof(log)
        try:
            return bpf(_PROG_LOAD, attribute)
        except OSError as error:
            words = log.value.decode(errors="replace").strip()[-_LOG_TAIL:]
            raise KernelError("ProgramRefused", f"loading {name}: {error.strerror}: {words}") from error


def attach_raw_tracepoint(program: int, name: str | None = None) -> int:
    """Return the descriptor that keeps ``program`` attached; a TRACING program knows its tracepoint itself.

    Raises:
        KernelError: the kernel refused.
    """
    held = ctypes.create_string_buffer(name.encode()) if name else None
    attribute = _RawTracepoint(name=ctypes.addressof(held) if held else 0, prog_fd=program)
    try:
        return bpf(_RAW_TRACEPOINT_OPEN, attribute)
    except OSError as error:
        raise _refused(f"attaching to raw tracepoint {name or ''}".strip(), error) from error


def attach_kprobe(program: int, symbol: str) -> int:
    """Return the descriptor that keeps ``program`` attached to the entry of a kernel function.

    Raises:
        KernelError: this kernel has no kprobes, no such function, or refused.
    """
    held = ctypes.create_string_buffer(symbol.encode())
    event = _PerfEvent(type=_pmu("kprobe"), config1=ctypes.addressof(held))
    return _attach_event(program, event, f"attaching to kernel function {symbol}")


def attach_uprobe(program: int, file: Path, offset: int, *, at_return: bool = False) -> int:
    """Return the descriptor that keeps ``program`` attached to a function of a file, in all processes.

    Args:
        program: a KPROBE program.
        file: a library or an executable.
        offset: of the function within it, in bytes.
        at_return: run when the function returns, not when it is entered.

    Raises:
        KernelError: this kernel has no uprobes, the file cannot be read, or the kernel refused.
    """
    held = ctypes.create_string_buffer(os.fsencode(file))
    offsets = (ctypes.c_uint64 * 1)(offset)
    link = _UprobeLink(
        prog_fd=program,
        attach_type=_TRACE_UPROBE_MULTI,
        path=ctypes.addressof(held),
        offsets=ctypes.addressof(offsets),
        count=1,
        flags=_AT_RETURN if at_return else 0,
    )
    try:
        return bpf(_LINK_CREATE, link)
    except OSError:
        # A kernel before 6.6 has no such links.
        event = _PerfEvent(type=_pmu("uprobe"), config=int(at_return), config1=ctypes.addressof(held), config2=offset)
        return _attach_event(program, event, f"attaching to {file}+{offset:#x} (needs Linux 6.6, or SYS_ADMIN)")


def enable_statistics() -> int:
    """Have the kernel count the run time of all programs until the returned descriptor is closed.

    Raises:
        KernelError: the kernel refused.
    """
    try:
        return bpf(_ENABLE_STATS, _Info(bpf_fd=0))
    except OSError as error:
        raise _refused("counting the run time of programs", error) from error


def missed_runs(program: int) -> int:
    """Return how often a program was not run, because it was running on that processor already.

    Raises:
        KernelError: the kernel refused.
    """
    info = _ProgramInfo()
    attribute = _Info(bpf_fd=program, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    try:
        bpf(_OBJ_GET_INFO_BY_FD, attribute)
    except OSError as error:
        raise _refused("reading what a program missed", error) from error
    return int(info.recursion_misses)


def _attach_event(program: int, event: _PerfEvent, what: str) -> int:
    event.size = ctypes.sizeof(event)
    try:
        # One event on the first processor serves all of them: BPF programs run wherever the probe is hit.
        descriptor = _checked(_numbers()[1], ctypes.byref(event), -1, 0, -1, _PERF_CLOSE_ON_EXEC)
    except OSError as error:
        raise _refused(what, error) from error
    try:
        fcntl.ioctl(descriptor, _IOC_SET_BPF, program)
        fcntl.ioctl(descriptor, _IOC_ENABLE, 0)
    except OSError as error:
        os.close(descriptor)
        raise _refused(what, error) from error
    return descriptor


def _pmu(name: str) -> int:
    try:
        return int((_PMUS / name / "type").read_text())
    except OSError as error:
        words = f"this kernel has no {name}s ({error.strerror})"
        raise KernelError(f"No{name.capitalize()}s", words, lasting=True) from error


def _refused(what: str, error: OSError) -> KernelError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return KernelError("BPFNotPermitted", f"{what}: {error.strerror}: {REMEDY}")
    return KernelError("AttachRefused", f"{what}: {error.strerror}")


@cache
def _numbers() -> tuple[int, int]:
    machine = os.uname().machine
    with suppress(KeyError):
        return _SYSCALLS[machine]
    raise KernelError("MachineUnknown", f"the agent does not know the system calls of {machine}: use x86_64 or aarch64")


def _checked(*arguments: object) -> int:
    result: int = _libc.syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
