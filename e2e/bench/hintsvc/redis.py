"""The Redis that replicas share, and a way to it that can be cut."""

import sys
from collections.abc import Mapping
from pathlib import Path

from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, await_port


class RedisServer:
    """A Redis that keeps nothing over a restart, and comes back at the same address.

    Args:
        directory: for its files.
        primary_port: of the Redis that it follows, if it follows one.
        env: variables for it.
    """

    def __init__(
        self, directory: Path, *, primary_port: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        following = ("--replicaof", f"{LOOPBACK} {primary_port}") if primary_port else ()
        self.program = Program(
            command=[
                *("redis-server", "--port", str(self.port), "--bind", LOOPBACK, "--save", "", "--dir", str(directory)),
                *following,
            ],
            log=directory / f"redis-{self.port}.log",
            env=env or {},
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self, *, core: int | None = None) -> None:
        """Run it, and wait until it listens."""
        self.program.start(core=core)
        await_port(self.port, self.program)


class Relay:
    """The only way of one replica to Redis: while it is paused, the replica is cut off and nothing is refused."""

    def __init__(self, directory: Path, *, target_port: int) -> None:
        self.port = free_port()
        self.program = Program(
            command=[sys.executable, "-m", "e2e.bench.hintsvc.loads.relay", str(self.port), str(target_port)],
            log=directory / f"relay-{self.port}.log",
        )

    @property
    def url(self) -> str:
        """Where the replica finds its Redis."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self, *, core: int | None = None) -> None:
        """Run it, and wait until it listens."""
        self.program.start(core=core)
        await_port(self.port, self.program)
