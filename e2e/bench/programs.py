"""Programs that a benchmark runs: ended, killed and paused by their own process id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError

LOOPBACK: Final = "127.0.0.1"
_LISTENS_S: Final = 60.0
_END_S: Final = 15.0


@dataclass(kw_only=True, slots=True)
class Program:
    """A program that runs until it is ended.

    Attributes:
        command: what to run.
        log: takes what it says.
        env: variables added to this process's own.
    """

    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            BenchError: it does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise BenchError(f"{' '.join(self.command[:4])} does not run: read {self.log}")
        return self._process.pid

    def start(self, *, core: int | None = None) -> None:
        """Run it, on one core only if one is named."""
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*pinned(core), *self.command],
                    env={**os.environ, **self.env},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except FileNotFoundError as error:
            raise BenchError(f"{self.command[0]} is not installed") from error

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def pause(self) -> None:
        """Let it do nothing until ``resume``: to others it looks as if the network had swallowed it."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had been."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """End it if it still runs: politely, and otherwise."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
            return
        process.kill()
        self._wait()

    def _wait(self) -> None:
        if self._process:
            self._process.wait(_END_S)


def pinned(core: int | None) -> list[str]:
    """Return the words before a command that keep it on one core; none for ``None``."""
    return [] if core is None else ["taskset", "--cpu-list", str(core % (os.cpu_count() or 1))]


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """End ``programs``, which were started, when the block is left."""
    try:
        yield
    finally:
        for program in reversed(programs):
            program.end()


@contextmanager
def killing(*programs: Program) -> Iterator[None]:
    """Kill ``programs`` when the block is left: whatever they would still finish does not matter."""
    try:
        yield
    finally:
        for program in reversed(programs):
            # One that does not run needs no end.
            with contextlib.suppress(BenchError):
                program.kill()


def await_port(port: int, program: Program, *, address: str = LOOPBACK, listens_s: float = _LISTENS_S) -> None:
    """Wait until somebody listens on ``port`` of an address of the loopback device, for ``listens_s`` at most.

    Raises:
        BenchError: nobody does in time, or ``program`` has ended.
    """
    deadline = time.monotonic() + listens_s
    while time.monotonic() < deadline:
        _ = program.pid
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.02)
    raise BenchError(f"{' '.join(program.command[:4])} does not listen after {listens_s:.0f} s: read {program.log}")
