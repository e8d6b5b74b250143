"""Runs a program that is loaded, without the event that it is for."""

import ctypes
from typing import Final

from tokenflow_agent.kernel.bpf import bpf

ARGUMENTS: Final = 12
"""That a raw tracepoint's program can be given."""
_TEST_RUN: Final = 10


class _Run(ctypes.Structure):
    """The part of ``union bpf_attr`` that BPF_PROG_TEST_RUN uses."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size", ctypes.c_uint32 * 2),
        ("data", ctypes.c_uint64 * 2),
        ("repeat_duration", ctypes.c_uint32 * 2),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


def call(program: int, *arguments: int) -> None:
    """Run a raw tracepoint's program once, with at most ``ARGUMENTS`` arguments; the others are 0.

    Raises:
        OSError: the kernel refused, or is older than 5.10.
    """
    given = (ctypes.c_uint64 * ARGUMENTS)(*arguments)
    bpf(_TEST_RUN, _Run(prog_fd=program, ctx_size_in=ctypes.sizeof(given), ctx_in=ctypes.addressof(given)))
