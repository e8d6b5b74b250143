"""Checks that the kernel takes a BPF program in each way: by a program that does nothing."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tokenflow_agent.commands.doctor.check import Check, State
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel import bpf, btf, loader
from tokenflow_agent.kernel.bpf import ProgramType

_NOTHING: Final = bytes.fromhex("b700000000000000 9500000000000000")
"""``r0 = 0; exit``."""
_SOURCE: Final = Path(__file__).parent / "nothing.c"

BTF_TRACEPOINT: Final = "BTF tracepoint"
RAW_TRACEPOINT: Final = "raw tracepoint"
KPROBE: Final = "kprobe"
_TCP: Final = (BTF_TRACEPOINT, RAW_TRACEPOINT, KPROBE)
"""Ways to follow TCP, of which one is enough."""


def ways() -> Sequence[Check]:
    """Check each way to attach a program."""
    tries: Mapping[str, Callable[[], None]] = {
        BTF_TRACEPOINT: _btf_tracepoint,
        RAW_TRACEPOINT: _raw_tracepoint,
        KPROBE: _kprobe,
        "uprobe": _uprobe,
    }
    return verdict({name: _refusal(attempt) for name, attempt in tries.items()})


def verdict(refusals: Mapping[str, str]) -> Sequence[Check]:
    """Judge the ways by why they were refused; an empty word is none.

    Of the ways to follow TCP one is enough.
    """
    return [_judged(name, words, spare=not all(refusals[way] for way in _TCP)) for name, words in refusals.items()]


def _judged(name: str, words: str, *, spare: bool) -> Check:
    if not words:
        return Check(name, State.OK, "a program was loaded and attached")
    if name not in _TCP:
        return Check(name, State.WARN, words)
    return (
        Check(name, State.WARN, f"{words}; TCP is followed in another way") if spare else Check(name, State.FAIL, words)
    )


def compiler() -> Sequence[Check]:
    """Check that a program can be compiled here, as the agent does at its start."""
    unit = loader.Unit(source=_SOURCE, programs=[loader.Program("nothing", ProgramType.RAW_TRACEPOINT)], maps=[])
    try:
        asyncio.run(loader.load(unit)).close()
    except ProbeError as error:
        return [Check("compiler", State.FAIL, f"no program can be built: {error}")]
    return [Check("compiler", State.OK, "a program was compiled and loaded")]


def _refusal(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except ProbeError as error:
        return str(error)
    return ""


def _btf_tracepoint() -> None:
    with _loaded(ProgramType.TRACING, attach_btf_id=btf.load().tracepoint("tcp_probe")) as program:
        os.close(bpf.attach_raw_tracepoint(program))


def _raw_tracepoint() -> None:
    with _loaded(ProgramType.RAW_TRACEPOINT) as program:
        os.close(bpf.attach_raw_tracepoint(program, "tcp_probe"))


def _kprobe() -> None:
    with _loaded(ProgramType.KPROBE) as program:
        os.close(bpf.attach_kprobe(program, "tcp_rcv_established"))


def _uprobe() -> None:
    # A file that nobody runs: a probe in a real library would stop those that use it for a moment.
    with _loaded(ProgramType.KPROBE) as program, tempfile.NamedTemporaryFile() as file:
        file.write(bytes(4096))
        file.flush()
        os.close(bpf.attach_uprobe(program, Path(file.name), 0))


@contextmanager
def _loaded(kind: ProgramType, *, attach_btf_id: int = 0) -> Iterator[int]:
    program = bpf.load_program(_NOTHING, kind=kind, name="doctor", attach_btf_id=attach_btf_id)
    try:
        yield program
    finally:
        os.close(program)
