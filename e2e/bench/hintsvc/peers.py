"""What hint reads are compared with: nginx and aiohttp, which answer the same bytes and do nothing else."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.load import PATH
from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, await_port

_WORKER_S: Final = 5.0
_NGINX: Final = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type application/json;
    server {{
        listen {host}:{port} backlog=4096;
        location = {path} {{ return 200 '{body}'; }}
    }}
}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A server that answers hint reads.

    Attributes:
        port: that it listens on.
        program: it.
        forks: whether a child of it answers.
    """

    port: int
    program: Program
    forks: bool = False

    def start(self, *, core: int) -> int:
        """Run it, and return the id of the process that answers.

        Raises:
            BenchError: it does not listen.
        """
        self.program.start(core=core)
        await_port(self.port, self.program)
        return child(self.program.pid) if self.forks else self.program.pid


def nginx(directory: Path, body: bytes) -> Peer:
    """Return an nginx that answers ``body`` from its memory, without logs."""
    port = free_port()
    file = directory / "nginx.conf"
    words = body.decode().replace("'", "\\'")
    file.write_text(_NGINX.format(directory=directory, host=LOOPBACK, port=port, path=PATH, body=words))
    command = ["nginx", "-c", str(file), "-e", str(directory / "nginx.log")]
    return Peer(port=port, program=Program(command=command, log=directory / "nginx.out"), forks=True)


def idiomatic_aiohttp(directory: Path, body: bytes) -> Peer:
    """Return a handler of aiohttp that answers ``body`` from its memory, on uvloop."""
    port = free_port()
    file = directory / "hint.json"
    file.write_bytes(body)
    command = [sys.executable, "-m", "e2e.bench.hintsvc.loads.idiomatic", str(port), str(file)]
    return Peer(port=port, program=Program(command=command, log=directory / "aiohttp.log"))


def child(pid: int) -> int:
    """Return the first process that a process has started.

    Raises:
        BenchError: it has started none in time.
    """
    deadline = time.monotonic() + _WORKER_S
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.02)
    raise BenchError(f"process {pid} has no worker after {_WORKER_S:.0f} s")
