"""A Redis that is followed by another one, and three sentinels that choose which of them counts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from e2e.bench.hintsvc.redis import RedisServer
from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, await_port, running

_MASTER: Final = "bench"
_NUMBER: Final = 3
_QUORUM: Final = 2
_DOWN_MS: Final = 1000
_FAILOVER_MS: Final = 5000


class Sentinels:
    """Guards a Redis that runs.

    Args:
        directory: for the files.
        primary: that counts at first.
    """

    def __init__(self, directory: Path, *, primary: RedisServer) -> None:
        self.primary = primary
        self._second = RedisServer(directory, primary_port=primary.port)
        self._ports = [free_port() for _ in range(_NUMBER)]
        self._programs = [_sentinel(directory, port, primary_port=primary.port) for port in self._ports]

    @property
    def url(self) -> str:
        """What a replica is given to find the Redis that counts."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self._ports)
        return f"redis+sentinel://{hosts}/{_MASTER}/0"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the second Redis and the sentinels until the block is left."""
        with ExitStack() as stack:
            stack.enter_context(running(self._second.program, *self._programs))
            self._second.start()
            for port, program in zip(self._ports, self._programs, strict=True):
                program.start()
                await_port(port, program)
            yield


def _sentinel(directory: Path, port: int, *, primary_port: int) -> Program:
    file = directory / f"sentinel-{port}.conf"
    file.write_text(
        f"port {port}\nbind {LOOPBACK}\ndir {directory}\n"
        f"sentinel monitor {_MASTER} {LOOPBACK} {primary_port} {_QUORUM}\n"
        f"sentinel down-after-milliseconds {_MASTER} {_DOWN_MS}\n"
        f"sentinel failover-timeout {_MASTER} {_FAILOVER_MS}\n"
    )
    return Program(command=["redis-server", str(file), "--sentinel"], log=directory / f"sentinel-{port}.log")
