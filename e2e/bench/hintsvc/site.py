"""Where speed is measured: a leader and a follower, one of them alone on a core, and nodes that report."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.cluster import Cluster, Replica, cluster, directory
from e2e.bench.hintsvc.learned import VERSION, learned
from e2e.bench.hintsvc.load import SHARED_CORE, telemetry
from e2e.bench.hintsvc.reader import get
from e2e.bench.hintsvc.redis import RedisServer
from e2e.bench.programs import running
from tokenflow_api.runtime import Role

MEASURED_CORE: Final = 0
OTHER_CORE: Final = 1
_ANSWER_S: Final = 2.0
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

    async def forecaster(self) -> str:
        """Return what the leader says of its model.

        Raises:
            BenchError: it runs none.
        """
        token = self.whole.issuer.token(Role.OPERATOR, pod="operator", node="bench")
        answer = await get(self.leader.api_port, "/v1/health", authorization=f"Bearer {token}", timeout_s=_ANSWER_S)
        model = json.loads(answer.body).get("model") or {}
        if model.get("version") != VERSION:
            raise BenchError(f"the leader runs no model, but says {answer.body[:300]!r}")
        return f"model {model['version']} is {model['mode']}" + (f" ({model['message']})" if model["message"] else "")


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Run Redis and the replicas until the block is left; the leader runs a learned model beside the law.

    Raises:
        BenchError: one of them does not start.
        CommandError: there is no model to be had.
    """
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(directory())
        redis = RedisServer(place)
        stack.enter_context(running(redis.program))
        redis.start(core=SHARED_CORE)
        spec = await learned(place, redis_url=redis.url)
        whole = await stack.enter_async_context(cluster(place, redis=redis, replicas=2, spec=spec))
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
