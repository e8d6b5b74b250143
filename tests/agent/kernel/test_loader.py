"""Programs that a child compiles, on the running kernel."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel import bpf, loader
from tokenflow_agent.kernel.bpf import ProgramType
from tokenflow_agent.kernel.loader import Program, Unit, load

pytestmark = pytest.mark.bpf


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("loading BPF programs needs root")


def unit(tmp_path: Path, source: str, *programs: Program, maps: tuple[str, ...] = ()) -> Unit:
    file = tmp_path / "program.c"
    file.write_text(f'#include "read.h"\n{source}')
    return Unit(source=file, programs=programs, maps=maps)


async def test_maps_and_programs_arrive_by_name(tmp_path: Path) -> None:
    source = "BPF_ARRAY(one, u64, 1); BPF_ARRAY(two, u64, 1); int quiet(u64 *ctx) { return 0; }"
    program = Program("quiet", ProgramType.TRACING, "tcp_probe")
    loaded = await load(unit(tmp_path, source, program, maps=("two", "one")))
    try:
        assert list(loaded.maps) == ["two", "one"]
        link = bpf.attach_raw_tracepoint(loaded.programs["quiet"])
        os.close(link)
        assert bpf.missed_runs(loaded.programs["quiet"]) == 0
    finally:
        loaded.close()


async def test_a_source_that_does_not_compile_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as refused:
        await load(unit(tmp_path, "int broken(u64 *ctx) { return nothing; }"))
    assert refused.value.reason == "CompilerFailed"


async def test_what_the_verifier_refuses_comes_with_its_words(tmp_path: Path) -> None:
    source = (
        'int wild(u64 *ctx) { u64 a = ARGUMENT(ctx, 0); asm volatile("*(u64 *)(%0 + 0) = %0" :: "r"(a)); return 0; }'
    )
    with pytest.raises(ProbeError, match="only read is supported") as refused:
        await load(unit(tmp_path, source, Program("wild", ProgramType.TRACING, "tcp_probe")))
    assert refused.value.reason == "ProgramRefused"


@pytest.mark.parametrize("kind", [ProgramType.TRACING, ProgramType.RAW_TRACEPOINT])
async def test_a_tracepoint_that_the_kernel_lacks_is_named_before_anything_is_compiled(
    tmp_path: Path, kind: ProgramType
) -> None:
    program = Program("quiet", kind, "tcp_nonsense")
    with pytest.raises(ProbeError, match="tcp_nonsense") as refused:
        await load(unit(tmp_path, "this is no C", program))
    assert (refused.value.reason, refused.value.lasting) == ("TracepointMissing", True)


def standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have a shell script run where the compiler would."""
    file = tmp_path / "compiler"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(file))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not read


async def test_a_compiler_that_dies_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing_in(tmp_path, monkeypatch, "echo 'no memory left' >&2; exit 3")
    with pytest.raises(ProbeError, match=r"died \(3\): no memory left") as refused:
        await load(unit(tmp_path, ""))
    assert refused.value.reason == "CompilerFailed"


async def test_a_compiler_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_in(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(loader, "_COMPILE_S", 0.1)
    before, began = descriptors(), time.monotonic()
    with pytest.raises(ProbeError) as refused:
        await load(unit(tmp_path, ""))
    assert refused.value.reason == "CompileTimeout"
    assert time.monotonic() - began < 30
    assert descriptors() <= before + 1  # the loop's own, for children


async def test_who_waits_no_more_leaves_no_compiler_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    standing_in(tmp_path, monkeypatch, f"echo $$ > {told}; exec sleep 60")
    waiting = asyncio.create_task(load(unit(tmp_path, "")))
    pid = int(await asyncio.wait_for(asyncio.to_thread(told.read_text), 30))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
