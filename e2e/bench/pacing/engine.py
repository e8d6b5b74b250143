"""The upstream that all arms share: an engine that replays timings, or a real endpoint."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, await_port, running

NAME: Final = "llama"


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """Where tokens come from.

    Attributes:
        url: base URL, without /v1.
        model: that is asked for.
        stamped: whether its tokens tell when they were generated.
    """

    url: str
    model: str = "llama-3"
    stamped: bool = True


def engine_program(place: Path, *arguments: str, port: int) -> Program:
    """Return an engine that replays timings, not yet started.

    Args:
        place: directory for its log.
        arguments: of ``python -m e2e.upstream.replay``.
        port: that it listens on.
    """
    command = [sys.executable, "-m", "e2e.upstream.replay", "--port", str(port), *arguments]
    return Program(command=command, log=place / f"upstream-{port}.log")


@contextmanager
def replay(place: Path, *arguments: str, core: int | None = None) -> Iterator[Engine]:
    """Run an engine that replays timings until the block is left.

    Args:
        place: directory for its log.
        arguments: of ``python -m e2e.upstream.replay``.
        core: that it runs on; any by default.

    Raises:
        BenchError: it does not listen.
    """
    port = free_port()
    program = engine_program(place, *arguments, port=port)
    with running(program):
        program.start(core=core)
        await_port(port, program)
        yield Engine(url=f"http://{LOOPBACK}:{port}")
