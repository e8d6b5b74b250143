"""Has a unit of programs compiled and loaded by a child process, and takes them over."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel.bpf import ProgramType
from tokenflow_agent.kernel.btf import VMLINUX

_COMPILE_S: Final = 30.0
"""Three ways, one tried after the other, must fit into ``supervision.TIMEOUT_S``."""
_MAX_DESCRIPTORS: Final = 64


@dataclass(frozen=True, slots=True)
class Program:
    """A function of the source, and what it is loaded for.

    Attributes:
        name: of the function.
        kind: what it will be attached to.
        target: the tracepoint, of TRACING; of a raw one: may be named, so that a kernel without it is noticed early.
    """

    name: str
    kind: ProgramType
    target: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A program that others go on with, by a tail call.

    Attributes:
        table: map of programs.
        slot: its place there.
        program: its name.
    """

    table: str
    slot: int
    program: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What is compiled together.

    Attributes:
        source: C file.
        programs: functions of it to load.
        maps: maps of it to hand over; those of ``steps`` must be among them, for the kernel empties a table that nobody
            holds.
        steps: programs to be put into tables.
        constants: macros.
        offsets: macros that stand for the offset of a struct's member: struct, member, member of the member …
        btf: type information of the running kernel.
    """

    source: Path
    programs: Sequence[Program]
    maps: Sequence[str]
    steps: Sequence[Step] = ()
    constants: Mapping[str, int] = field(default_factory=dict)
    offsets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    btf: Path = VMLINUX


@dataclass(frozen=True, slots=True)
class Loaded:
    """Descriptors, by name; whoever holds this owns them."""

    maps: Mapping[str, int]
    programs: Mapping[str, int]

    def close(self) -> None:
        """Close them all: the kernel drops what nobody holds."""
        for descriptor in (*self.maps.values(), *self.programs.values()):
            os.close(descriptor)


async def load(unit: Unit) -> Loaded:
    """Compile ``unit`` in a child process, load it, and take it over; the child ends.

    Raises:
        ProbeError: it could not be; the reason says why.
    """
    with _channel() as (ours, theirs):
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tokenflow_agent.kernel.compile", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ProbeError("CompilerFailed", f"the compiling process cannot be started: {error}") from error
        theirs.close()
        try:
            async with asyncio.timeout(_COMPILE_S):
                with suppress(BrokenPipeError):  # it is dead already, and says below why
                    ours.sendall(json.dumps(asdict(unit), default=os.fspath).encode())
                _, words = await child.communicate()
        except TimeoutError as error:
            raise ProbeError("CompileTimeout", f"the program was not compiled in {_COMPILE_S:.0f} s") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        # The child has ended. Until its answer is taken, the descriptors in it end with the channel.
        data, descriptors = _received(ours)
    if not data:
        last = words.decode(errors="replace").strip().splitlines()[-1:]
        raise ProbeError("CompilerFailed", f"the compiling process died ({child.returncode}): {' '.join(last)}")
    return _loaded(json.loads(data), descriptors)


def _received(channel: socket.socket) -> tuple[bytes, list[int]]:
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, 65536, _MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return b"", []  # it died before it read what to do
    return data, descriptors


def _loaded(answer: dict[str, Any], descriptors: list[int]) -> Loaded:
    if "reason" in answer:
        raise ProbeError(answer["reason"], answer["message"], lasting=answer["lasting"])
    count = len(answer["maps"])
    return Loaded(
        maps=dict(zip(answer["maps"], descriptors[:count], strict=True)),
        programs=dict(zip(answer["programs"], descriptors[count:], strict=True)),
    )


@contextmanager
def _channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs
