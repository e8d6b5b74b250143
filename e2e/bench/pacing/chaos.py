"""Three gateways under a thousand streams, and one part after the other is killed: every broken stream is explained.

Readers are given the list of the gateways, and ask them in turn, as clients behind a balancer do. None tries again.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from e2e.bench.pacing.arms import PACED, TENANTS, Hints, Subject, gateway, hints, room, spec
from e2e.bench.pacing.engine import engine_program
from e2e.bench.pacing.reader import Plan, Stream
from e2e.bench.pacing.reading import read_on
from e2e.bench.pacing.results import Results, Run
from e2e.bench.pacing.workload import Arrivals, Ask
from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, await_port, killing

GATEWAYS: Final = 3
STREAMS: Final = 1000
_ASKED_S: Final = 12.0
_FAULT_S: Final = 6.0
_AWAY_S: Final = 3.0
_ENDS_S: Final = 20.0
_READER_CORES: Final = (2, 3)
_TOKENS: Final = 200
_OK: Final = 200
_REFUSALS: Final = (429, 503)
_LOST: Final = (502, 504)
_TIMING: Final = ("--tokens-per-second", "40", "--first-token-s", "0.1")


class End(StrEnum):
    """How a stream ended, and why."""

    WHOLE = "whole"
    """Every token came, and the end was marked."""
    CUT = "cut with its gateway"
    """It ran over the gateway that was killed, when it was killed."""
    UNREACHED = "its gateway was away"
    """It was asked of the gateway that was killed before that was there again."""
    TOLD = "upstream lost, told in the stream"
    """The stream ended with an error event."""
    ANSWERED = "upstream lost, refused with its status"
    """The answer was a 502 or 504."""
    REFUSED = "refused with Retry-After"
    """The answer was a 429 or 503 that says when to come again."""
    UNEXPLAINED = "unexplained"
    """None of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something that is killed.

    Attributes:
        name: of it.
        server: number of the gateway that is killed; ``None`` where another part is.
        upstream: whether the upstream is killed.
    """

    name: str
    server: int | None = None
    upstream: bool = False


NOTHING: Final = Fault(name="nothing")
GATEWAY: Final = Fault(name="kill -9 of one of three gateways", server=1)
UPSTREAM: Final = Fault(name="kill -9 of the upstream", upstream=True)
HINTS: Final = Fault(name="kill -9 of the hint service")
REDIS: Final = Fault(name="kill -9 of Redis")
FAULTS: Final = (NOTHING, GATEWAY, UPSTREAM, HINTS, REDIS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """When a part was away, in seconds since the run began."""

    since_s: float
    until_s: float

    def holds(self, at_s: float, *, slack_s: float = 0.0) -> bool:
        """Whether it was away then, or up to ``slack_s`` before or after."""
        return self.since_s - slack_s <= at_s <= self.until_s + slack_s


_SLACK_S: Final = 1.0


def explain(stream: Stream, fault: Fault, away: Outage) -> End:
    """Return how a stream ended, as far as ``fault`` and what the reader saw explain it."""
    if stream.done and sum(tokens for _, tokens, _ in stream.arrivals) == stream.ask.tokens:
        return End.WHOLE
    ended_s = stream.ended_s
    if ended_s is None:
        return End.UNEXPLAINED
    if fault.server is not None and stream.server == fault.server and away.holds(ended_s, slack_s=_SLACK_S):
        return End.CUT if stream.asked_s <= away.since_s else End.UNREACHED
    if stream.status in _REFUSALS and stream.retry_after:
        return End.REFUSED
    if fault.upstream and away.holds(ended_s, slack_s=_SLACK_S):
        return _of_upstream(stream)
    return End.UNEXPLAINED


def _of_upstream(stream: Stream) -> End:
    """Return how a stream ended while the upstream was away."""
    if stream.status == _OK and stream.told.startswith("{"):
        return End.TOLD
    return End.ANSWERED if stream.status in _LOST and "error" in stream.told else End.UNEXPLAINED


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What may be killed, and the way to the gateways."""

    gateways: Sequence[Subject]
    found: Hints
    upstream: Program
    upstream_port: int

    def victim(self, fault: Fault) -> tuple[Program, int] | None:
        """Return the program that a fault kills, and the port by which it is known to be back; ``None`` for nothing."""
        if fault.server is not None:
            return self.gateways[fault.server].program, self.gateways[fault.server].port
        replica = self.found.whole.replicas[0]
        known: dict[str, Callable[[], tuple[Program, int]]] = {
            UPSTREAM.name: lambda: (self.upstream, self.upstream_port),
            HINTS.name: lambda: (replica.program, replica.api_port),
            REDIS.name: lambda: (self.found.redis.program, self.found.redis.port),
        }
        return known[fault.name]() if fault.name in known else None


@asynccontextmanager
async def site(place: Path) -> AsyncIterator[Site]:
    """Run an upstream, a hint service with its Redis and three gateways until the block is left.

    Raises:
        BenchError: one does not start.
    """
    async with AsyncExitStack() as stack:
        port = free_port()
        upstream = engine_program(place, *_TIMING, port=port)
        stack.enter_context(killing(upstream))
        upstream.start()
        await_port(port, upstream)
        policy = spec(PACED, upstream=f"http://{LOOPBACK}:{port}")
        found = await stack.enter_async_context(hints(room(place, "chaos"), policy))
        gateways = [
            await stack.enter_async_context(gateway(found.whole, name=f"gateway {number}", number=number))
            for number in range(GATEWAYS)
        ]
        yield Site(gateways=gateways, found=found, upstream=upstream, upstream_port=port)


def load(*, streams: int, seed: int) -> tuple[Ask, ...]:
    """Return ``streams`` requests at random times."""
    arrivals = Arrivals(per_second=streams / _ASKED_S, most_tokens=_TOKENS)
    asks = list(arrivals.asks(seconds=2 * _ASKED_S, seed=seed, tenants=TENANTS))
    return tuple(asks[:streams])


async def under_chaos(results: Results, place: Path, *, streams: int = STREAMS) -> None:
    """Kill one part after the other under streams, and count how each of them ended.

    Raises:
        BenchError: a part does not start, or a reader failed.
    """
    for seed, fault in enumerate(FAULTS):
        if results.has(fault.name, seed):
            continue
        async with site(room(place, f"chaos-{seed}")) as there:
            ends, codes = await _through(there, fault, streams=streams, seed=seed)
        figures = {"streams": streams, "ends": dict(ends), "codes": dict(codes)}
        results.add(Run(scenario=fault.name, arm="three gateways", seed=seed, figures=figures))
        print(f"{fault.name}: {dict(ends)}, {dict(codes)}", flush=True)


async def _through(there: Site, fault: Fault, *, streams: int, seed: int) -> tuple[Counter[End], Counter[str]]:
    """Return how the streams ended, and the codes of the errors that were told."""
    servers = tuple((LOOPBACK, gateway.port) for gateway in there.gateways)
    plan = Plan(servers=servers, asks=load(streams=streams, seed=seed), until_s=_ASKED_S + _ENDS_S)
    loop = asyncio.get_running_loop()
    began = loop.time()
    reading = asyncio.create_task(read_on(plan, cores=_READER_CORES))
    await asyncio.sleep(_FAULT_S)
    victim = there.victim(fault)
    since_s = loop.time() - began
    if victim:
        program, port = victim
        program.kill()
        await asyncio.sleep(_AWAY_S)
        program.start()
        await asyncio.to_thread(await_port, port, program)
    away = Outage(since_s=since_s, until_s=loop.time() - began)
    met = await reading
    ends = Counter(explain(stream, fault, away) for stream in met)
    for stream in met:
        if explain(stream, fault, away) is End.UNEXPLAINED:
            print(f"  unexplained: status {stream.status}, ended {stream.ended_s}, {stream.told}", flush=True)
    return ends, Counter(code(stream.told) for stream in met if stream.told.startswith("{"))


def code(told: str) -> str:
    """Return the code of an error in OpenAI's form, which may be cut off; empty where there is none."""
    found = re.search(r'"code": ?"([a-z_]+)"', told)
    return found[1] if found else ""
