"""What is compared: our gateway by policies that do more or less, each with a hint service and a Redis of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.cluster import Cluster, cluster
from e2e.bench.hintsvc.learned import learned
from e2e.bench.hintsvc.reader import get
from e2e.bench.hintsvc.redis import RedisServer
from e2e.bench.pacing.engine import NAME
from e2e.bench.proc import free_port
from e2e.bench.programs import Program, await_port, killing, running
from tokenflow_api.runtime import Role

PLENTY: Final = 100_000
TENANTS: Final = ("gold", "silver", "bronze")
_FIXED: Final = 20
_READY_S: Final = 15.0
_AGAIN_S: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A way to treat streams.

    Attributes:
        name: of it.
        spec: fields of the policy's spec.
        forecast: whether a learned model acts.
    """

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    forecast: bool = False


PASS_THROUGH: Final = Arm(name="pass-through", spec={"mode": "Off"})
FIXED: Final = Arm(
    name="fixed rate",
    spec={
        "pacing": {
            "minTokensPerSecond": _FIXED,
            "maxTokensPerSecond": _FIXED,
            "fallbackTokensPerSecond": _FIXED,
            "maxBatchSize": 1,
        }
    },
)
BATCH: Final = Arm(
    name="batch",
    spec={"pacing": {"minTokensPerSecond": 1000, "maxTokensPerSecond": 1000, "fallbackTokensPerSecond": 1000}},
)
PACED: Final = Arm(name="batch + rate")
FORECAST: Final = Arm(name="batch + rate + forecast", forecast=True)
ARMS: Final = (PASS_THROUGH, FIXED, BATCH, PACED, FORECAST)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A server that streams pass.

    Attributes:
        name: of the arm.
        port: that it listens on, on every address.
        pid: of the process that does the work.
        program: it, or its parent.
    """

    name: str
    port: int
    pid: int
    program: Program


def spec(
    arm: Arm, *, upstream: str, tenants: Sequence[str] = TENANTS, weights: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the spec of a policy whose only bound is what the arm is about.

    Args:
        arm: what is measured.
        upstream: base URL of the engine.
        tenants: who streams.
        weights: of the tenants; equal ones by default.
    """
    shares = weights or [1] * len(tenants)
    return {
        "tenants": [
            {
                "name": tenant,
                "tokensPerMinute": 10**9,
                "burstTokens": 10**9,
                "requestsPerMinute": 10**7,
                "maxConcurrentStreams": PLENTY,
                "weight": weight,
            }
            for tenant, weight in zip(tenants, shares, strict=True)
        ],
        "gateway": {
            "upstreams": [{"name": NAME, "url": upstream, "maxConcurrentRequests": PLENTY}],
            "maxStreams": PLENTY,
        },
        **arm.spec,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """A hint service of one replica.

    Attributes:
        whole: the replica, the policy and its files.
        redis: where it keeps its state.
    """

    whole: Cluster
    redis: RedisServer


@asynccontextmanager
async def hints(place: Path, policy: Mapping[str, Any], *, forecast: bool = False) -> AsyncIterator[Hints]:
    """Run a Redis and one replica of the hint service until the block is left.

    Args:
        place: an empty directory for their files.
        policy: fields of the spec.
        forecast: whether a learned model acts.

    Raises:
        BenchError: one does not start.
        CommandError: no model can be trained.
    """
    redis = RedisServer(place)
    with running(redis.program):
        redis.start()
        model = await learned(place, redis_url=redis.url) if forecast else {}
        async with cluster(place, redis=redis, replicas=1, spec={**policy, **model}) as whole:
            with killing(*(replica.program for replica in whole.replicas)):
                yield Hints(whole=whole, redis=redis)


def room(place: Path, name: str) -> Path:
    """Return a new directory for the files of one arm."""
    directory = place / name
    directory.mkdir(parents=True)
    return directory


@asynccontextmanager
async def gateway(whole: Cluster, *, name: str, number: int = 0) -> AsyncIterator[Subject]:
    """Run a gateway by the policy of a hint service until the block is left.

    Raises:
        BenchError: it is not ready in time.
    """
    pod, port, place = f"gateway-{number}", free_port(), whole.directory
    token = place / f"{pod}.token"
    token.write_text(whole.issuer.token(Role.GATEWAY, pod=pod, node="bench"))
    command = [
        *(sys.executable, "-m", "tokenflow_gateway", "--runtime-file", str(place / "runtime.json")),
        *("--hint-url", f"http://127.0.0.1:{whole.replicas[0].api_port}", "--token-file", str(token)),
        *("--tenants-dir", str(place / "tenants"), "--namespace", "bench", "--pod-name", pod),
        *("--port", str(port), "--metrics-port", str(free_port()), "--log-level", "Warning"),
    ]
    program = Program(command=command, log=place / f"{pod}.log")
    with killing(program):
        program.start()
        await_port(port, program)
        await _ready(port, program)
        yield Subject(name=name, port=port, pid=program.pid, program=program)


async def _ready(port: int, program: Program) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            while (await get(port, "/readyz", timeout_s=_READY_S)).status != HTTPStatus.OK:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(_AGAIN_S)
    except OSError as error:
        raise BenchError(f"the gateway is not ready after {_READY_S:.0f} s: read {program.log}") from error


@asynccontextmanager
async def arm_site(
    arm: Arm, place: Path, *, upstream: str, tenants: Sequence[str] = TENANTS, weights: Sequence[int] | None = None
) -> AsyncIterator[Subject]:
    """Run an arm, with all that it needs, until the block is left.

    Raises:
        BenchError: a part of it does not start.
        CommandError: no model can be trained.
    """
    async with AsyncExitStack() as stack:
        policy = spec(arm, upstream=upstream, tenants=tenants, weights=weights)
        found = await stack.enter_async_context(hints(place, policy, forecast=arm.forecast))
        yield await stack.enter_async_context(gateway(found.whole, name=arm.name))
