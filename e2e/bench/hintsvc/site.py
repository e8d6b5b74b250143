"""Where speed is measured: a leader and a follower, one of them alone on a core, and nodes that report."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.cluster import Cluster, Replica, cluster, directory
from e2e.bench.hintsvc.load import SHARED_CORE, telemetry
from e2e.bench.hintsvc.programs import RedisServer, running

MEASURED_CORE: Final = 0
OTHER_CORE: Final = 1
NODES: Final = 150
"""Nodes that report to a replica once a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Two replicas that share a Redis.

    Attributes:
        whole: the cluster of both.
        leader: computes the hints.
        follower: only serves them.
    """

    whole: Cluster
    leader: Replica
    follower: Replica

    def isolate(self, replica: Replica) -> None:
        """Give one replica a core to itself."""
        for one in self.whole.replicas:
            pin(one.program.pid, MEASURED_CORE if one is replica else OTHER_CORE)

    @asynccontextmanager
    async def reporting(self, *, to: Sequence[Replica]) -> AsyncIterator[None]:
        """Have nodes report to each of these replicas until the block is left."""
        async with AsyncExitStack() as stack:
            for index, replica in enumerate(to):
                await stack.enter_async_context(
                    telemetry(self.whole, replica, first=index * NODES, nodes=NODES, rate=NODES, core=SHARED_CORE)
                )
            yield


@asynccontextmanager
async def site(arguments: tuple[str, ...] = (), spec: dict[str, object] | None = None) -> AsyncIterator[Site]:
    """Run Redis and the replicas until the block is left.

    Args:
        arguments: further ones of ``serve``.
        spec: fields of the policy's spec that differ.

    Raises:
        BenchError: one of them does not start.
    """
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(directory())
        redis = RedisServer(place)
        stack.enter_context(running(redis.program))
        redis.start(core=SHARED_CORE)
        whole = await stack.enter_async_context(cluster(place, redis=redis, replicas=2, arguments=arguments, spec=spec))
        leader = await whole.leader()
        yield Site(whole=whole, leader=leader, follower=(await whole.followers())[0])


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core.

    Raises:
        BenchError: it has ended.
    """
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core % (os.cpu_count() or 1)})
    except OSError as error:
        raise BenchError(f"process {pid} cannot be pinned: {error}") from error
