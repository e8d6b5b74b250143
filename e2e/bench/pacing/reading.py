"""Runs readers as processes of their own."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from tempfile import TemporaryFile
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.pacing.reader import PLAN, STREAMS, Plan, Stream
from e2e.bench.programs import pinned

_GRACE_S: Final = 30.0


async def read(plan: Plan, *, netns: str | None = None, core: int | None = None) -> list[Stream]:
    """Have a process do what a plan says, and return what its streams met.

    Args:
        plan: what to read.
        netns: network namespace to read from; this process's own by default.
        core: that the reader runs on; any by default.

    Raises:
        BenchError: it failed, or took too long.
    """
    inside = ["ip", "netns", "exec", netns] if netns else []
    with TemporaryFile() as notes:
        process = await asyncio.create_subprocess_exec(
            *(*inside, *pinned(core), sys.executable, "-m", "e2e.bench.pacing.reader"),
            stdin=asyncio.subprocess.PIPE,
            stdout=notes,
        )
        try:
            async with asyncio.timeout(plan.until_s + _GRACE_S):
                await process.communicate(PLAN.dump_json(plan))
        except TimeoutError as error:
            raise BenchError(f"a reader was not done {_GRACE_S:.0f} s after its time") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise BenchError(f"a reader failed ({process.returncode}): see above")
        notes.seek(0)
        return [STREAMS.validate_json(line) for line in notes]


async def read_on(plan: Plan, *, cores: Sequence[int]) -> list[Stream]:
    """Share a plan out among readers, one on each core, and return what all streams met.

    Raises:
        BenchError: one of them failed.
    """
    shares = [replace(plan, asks=plan.asks[number :: len(cores)]) for number in range(len(cores))]
    met = await asyncio.gather(*(read(share, core=core) for share, core in zip(shares, cores, strict=True)))
    return [stream for share in met for stream in share]
