"""Replicas of the hint service as real processes, each with its own way to Redis."""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.issuer import ISSUER, Issuer
from e2e.bench.hintsvc.policy import write_policy
from e2e.bench.hintsvc.reader import get
from e2e.bench.hintsvc.redis import RedisServer, Relay
from e2e.bench.proc import free_port
from e2e.bench.programs import Program, running

_READY_S: Final = 60.0
_ASK_S: Final = 1.0
_AGAIN_S: Final = 0.05


@dataclass(kw_only=True, slots=True)
class Replica:
    """One replica.

    Attributes:
        name: of it.
        api_port: of the whole API.
        fast_port: of the listener of hint reads and the stream.
        program: its process.
        relay: its way to Redis; ``None`` where it goes straight.
        outages: when it was dead or paused: monotonic times, the last one open while it is.
    """

    name: str
    api_port: int
    fast_port: int
    program: Program
    relay: Relay | None = None
    outages: list[tuple[float, float]] = field(default_factory=list)

    def leave(self) -> None:
        """Note that it is dead or paused from now on."""
        self.outages.append((time.monotonic(), float("inf")))

    def come_back(self) -> None:
        """Note that it is there again."""
        self.outages[-1] = (self.outages[-1][0], time.monotonic())

    def was_out(self, since: float, until: float) -> bool:
        """Whether it was dead or paused at some time between two monotonic times."""
        return any(start <= until and since <= end for start, end in self.outages)

    async def readiness(self) -> dict[str, Any]:
        """Return what ``/readyz`` says; nothing where it does not answer."""
        try:
            answer = await get(self.api_port, "/readyz", timeout_s=_ASK_S)
        except OSError:
            return {}
        state: dict[str, Any] = json.loads(answer.body)
        return state

    async def wait_ready(self) -> None:
        """Wait until it serves.

        Raises:
            BenchError: it does not in time.
        """
        deadline = time.monotonic() + _READY_S
        state: dict[str, Any] = {}
        while time.monotonic() < deadline:
            _ = self.program.pid
            state = await self.readiness()
            if state.get("ready"):
                return
            await asyncio.sleep(_AGAIN_S)
        raise BenchError(f"{self.name} is not ready after {_READY_S:.0f} s ({state}): read {self.program.log}")


@dataclass(kw_only=True, slots=True)
class Cluster:
    """The replicas of one policy."""

    directory: Path
    issuer: Issuer
    replicas: Sequence[Replica]

    async def leader(self) -> Replica:
        """Return the replica that leads.

        Raises:
            BenchError: none does in time.
        """
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for replica in self.replicas:
                if (await replica.readiness()).get("leading"):
                    return replica
            await asyncio.sleep(_AGAIN_S)
        raise BenchError(f"no replica leads after {_READY_S:.0f} s: read the logs in {self.directory}")

    async def followers(self) -> list[Replica]:
        """Return the replicas that do not lead."""
        leader = await self.leader()
        return [replica for replica in self.replicas if replica is not leader]


@asynccontextmanager
async def directory() -> AsyncIterator[Path]:
    """Make a directory for the files and logs of a run, which stays where the run fails."""
    path = Path(tempfile.mkdtemp(prefix="tf-bench-"))
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def cluster(
    place: Path,
    *,
    redis: RedisServer | str,
    replicas: int = 3,
    cores: Sequence[int] | None = None,
    relayed: bool = False,
    env: Mapping[str, Mapping[str, str]] | None = None,
    spec: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> AsyncIterator[Cluster]:
    """Run replicas until the block is left.

    Args:
        place: directory for their files.
        redis: what they share, or its URL.
        replicas: how many.
        cores: that each is pinned to; all of them by default.
        relayed: whether each has a relay to Redis that can be paused.
        env: variables for each replica, by its name.
        spec: fields of the policy's spec that differ.
        arguments: further ones of ``serve``.

    Raises:
        BenchError: one does not start.
    """
    issuer = Issuer()
    issuer.write_keys(place / "keys.json")
    write_policy(place, spec=spec)
    members = []
    with ExitStack() as stack:
        for index in range(replicas):
            relay = None
            if relayed and isinstance(redis, RedisServer):
                relay = Relay(place, target_port=redis.port)
                stack.enter_context(running(relay.program))
                relay.start()
            address = redis if isinstance(redis, str) else (relay or redis).url
            replica = _replica(place, index, address=address, relay=relay, env=env or {}, arguments=arguments)
            stack.enter_context(running(replica.program))
            replica.program.start(core=cores[index] if cores else None)
            members.append(replica)
        for replica in members:
            await replica.wait_ready()
        whole = Cluster(directory=place, issuer=issuer, replicas=members)
        await whole.leader()
        yield whole


def _replica(
    place: Path,
    index: int,
    *,
    address: str,
    relay: Relay | None,
    env: Mapping[str, Mapping[str, str]],
    arguments: Sequence[str],
) -> Replica:
    name, api, fast = f"replica-{index}", free_port(), free_port()
    command = [
        *(sys.executable, "-m", "tokenflow_hintsvc", "serve", "--replica", name, "--redis-url", address),
        *("--runtime-file", str(place / "runtime.json"), "--tenants-dir", str(place / "tenants")),
        *("--token-issuer", ISSUER, "--token-keys", str(place / "keys.json")),
        *("--port", str(api), "--fast-port", str(fast), "--metrics-port", str(free_port())),
        *("--log-level", "Warning", *arguments),
    ]
    program = Program(command=command, log=place / f"{name}.log", env=env.get(name, {}))
    return Replica(name=name, api_port=api, fast_port=fast, program=program, relay=relay)
