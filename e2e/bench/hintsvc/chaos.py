"""What the hint service loses when something else fails: every read is counted.

Three replicas, a Redis that keeps nothing over a restart, telemetry that goes on, and readers on every replica. A
read of a replica that is dead or paused itself is excused, as a load balancer would ask another one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.hintsvc.clocks import Clock
from e2e.bench.hintsvc.cluster import Cluster, Replica, cluster, directory
from e2e.bench.hintsvc.load import closed_loop, telemetry
from e2e.bench.hintsvc.redis import RedisServer
from e2e.bench.hintsvc.sentinels import Sentinels
from e2e.bench.hintsvc.watch import Outcome, Watch, watching
from e2e.bench.programs import running

MAX_RECOVERY_S: Final = 30.0
MAX_FAILOVER_S: Final = 5.0
PAUSED_S: Final = 20.0
_BEFORE_S: Final = 1.5
"""Until telemetry has made the hints live, and then again, so that the readers see them so."""
_AFTER_S: Final = 4.0
_RESTART_S: Final = 2.0
"""A kubelet takes about as long to start a container again."""
_REDIS: Final = "redis"
_STEP_S: Final = 3.0
_HOUR_S: Final = 3600
_NODES: Final = 10
"""Nodes that report to each replica once a second."""
_PRESSING: Final = 640
"""Connections that ask without pause: ten times those of the closed loop."""


@dataclass(kw_only=True, slots=True)
class Stage:
    """Where a scenario plays.

    Attributes:
        whole: the replicas.
        redis: what they share.
        clocks: of Redis and of each replica, by name, where they can be set.
    """

    whole: Cluster
    redis: RedisServer
    sentinels: Sentinels | None
    clocks: Mapping[str, Clock]


@dataclass(frozen=True, kw_only=True, slots=True)
class Harm:
    """What a scenario did.

    Attributes:
        since: monotonic time from which recovery counts.
        failed: reads of the scenario's own that failed.
        note: what else there is to say.
    """

    since: float
    failed: int = 0
    note: str = ""


Scenario = Callable[[Stage], Awaitable[Harm]]


async def kill_leader(stage: Stage) -> Harm:
    """Kill the leader, and start it again as a kubelet would."""
    leader = await stage.whole.leader()
    leader.leave()
    leader.program.kill()
    killed = time.monotonic()
    await asyncio.sleep(_RESTART_S)
    leader.program.start()
    await leader.wait_ready()
    leader.come_back()
    return Harm(since=killed)


async def pause_leader(stage: Stage) -> Harm:
    """Stop the leader for 20 s, in which another one takes over, and let it go on in the belief that it leads."""
    leader = await stage.whole.leader()
    await _pause(leader)
    return Harm(since=time.monotonic())


async def restart_redis(stage: Stage) -> Harm:
    """Kill Redis, which forgets everything, and start it again."""
    stage.redis.program.kill()
    await asyncio.sleep(_RESTART_S)
    stage.redis.start()
    return Harm(since=time.monotonic())


async def fail_over(stage: Stage) -> Harm:
    """Kill the primary Redis; the sentinels choose another one."""
    if stage.sentinels is None:
        raise BenchError("this scenario needs sentinels")
    stage.sentinels.primary.program.kill()
    return Harm(since=time.monotonic())


async def cut_off_follower(stage: Stage) -> Harm:
    """Cut a follower off from Redis for longer than its hints take to drift to the fallback."""
    return await _cut_off((await stage.whole.followers())[0])


async def cut_off_leader(stage: Stage) -> Harm:
    """Cut the leader off from Redis; another one takes over, and what the old one had sent arrives late."""
    return await _cut_off(await stage.whole.leader())


async def step_clocks(stage: Stage) -> Harm:
    """Set the leader's clock an hour forth, then a follower's an hour back, then the leader's, then both right."""
    leader, follower = (await stage.whole.leader()).name, (await stage.whole.followers())[0].name
    steps = ((leader, _HOUR_S), (follower, -_HOUR_S), (leader, -_HOUR_S), (leader, 0), (follower, 0))
    return await _step(stage, steps)


async def step_redis_clock(stage: Stage) -> Harm:
    """Set the clock of Redis an hour forth, right, an hour back, and right."""
    return await _step(stage, ((_REDIS, _HOUR_S), (_REDIS, 0), (_REDIS, -_HOUR_S), (_REDIS, 0)))


async def press(stage: Stage) -> Harm:
    """Ask every replica ten times as much as it can be asked at ease."""
    done = await asyncio.gather(
        *(closed_loop(one.fast_port, connections=_PRESSING, seconds=_AFTER_S * 2) for one in stage.whole.replicas)
    )
    answered = sum(one.per_second for one in done)
    return Harm(
        since=time.monotonic(),
        failed=sum(one.failed for one in done),
        note=f"; {answered:,.0f} reads/s over {_PRESSING * len(done):,} connections were answered besides",
    )


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "kill -9 of the leader": kill_leader,
    "leader paused for 20 s": pause_leader,
    "Redis restarted, empty": restart_redis,
    "Redis failover by Sentinel": fail_over,
    "follower cut off from Redis": cut_off_follower,
    "leader cut off from Redis": cut_off_leader,
    "clocks of the replicas set by an hour": step_clocks,
    "clock of Redis set by an hour": step_redis_clock,
    "ten times the load": press,
}
_OF_CLOCKS: Final = frozenset({step_clocks, step_redis_clock})


async def chaos() -> AsyncIterator[Figure]:
    """Play each scenario."""
    for name in SCENARIOS:
        for figure in await play(name):
            yield figure


async def play(name: str) -> list[Figure]:
    """Play one scenario on replicas of its own."""
    scenario = SCENARIOS[name]
    async with _stage(scenario) as stage, watching(stage.whole) as watch:
        await asyncio.sleep(_BEFORE_S)
        harm = await scenario(stage)
        await _settle(watch, harm.since)
        figures = [_figure(name, scenario, watch, harm)]
        if scenario in {kill_leader, pause_leader}:
            figures.append(_failover(name, watch))
        return figures


async def _settle(watch: Watch, since: float) -> None:
    """Wait until the replicas have recovered, and a little longer, or until they should have."""
    while time.monotonic() - since < MAX_RECOVERY_S:
        await asyncio.sleep(_AFTER_S)
        if watch.recovered_after(since, now=time.monotonic()) is not None:
            return


def _figure(name: str, scenario: Scenario, watch: Watch, harm: Harm) -> Figure:
    recovery = watch.recovered_after(harm.since, now=time.monotonic())
    lost, failed, wrong = (watch.counted(one) for one in (Outcome.LOST, Outcome.FAILED, Outcome.WRONG))
    stale, excused = watch.steps_back(), sum(one.excused for one in watch.failures)
    lost += harm.failed
    recovered = f"recovered in {recovery:.1f} s" if recovery is not None else "NOT recovered"
    details = f"; {watch.details()}" if lost or failed or wrong else ""
    return Figure(
        name=f"Chaos: {name}",
        value=f"{lost} lost, {failed} 5xx, {wrong} wrong of {watch.reads:,}; {stale} stale; {recovered}",
        goal=f"0 lost, 0 5xx, 0 wrong, 0 stale, < {MAX_RECOVERY_S:.0f} s",
        met=not (lost or failed or wrong or stale) and recovery is not None and recovery < MAX_RECOVERY_S,
        how=f"{(scenario.__doc__ or '').strip()} Not counted: {excused} reads of a replica while it was dead or paused"
        f" itself; {watch.fallbacks} answers were drifting or at the fallback{harm.note}{details}",
    )


def _failover(name: str, watch: Watch) -> Figure:
    silence = watch.longest_silence()
    return Figure(
        name=f"Failover: {name}",
        value=f"{silence:.1f} s",
        goal=f"< {MAX_FAILOVER_S:.0f} s",
        met=silence < MAX_FAILOVER_S,
        how="longest time without a new snapshot at the replicas that went on",
    )


@asynccontextmanager
async def _stage(scenario: Scenario) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(directory())
        owners = (_REDIS, *(f"replica-{index}" for index in range(3))) if scenario in _OF_CLOCKS else ()
        clocks = {name: Clock(place, name=name) for name in owners}
        env = {name: clock.env for name, clock in clocks.items()}
        redis = RedisServer(place, env=env.get(_REDIS))
        stack.enter_context(running(redis.program))
        redis.start()
        sentinels = None
        if scenario is fail_over:
            sentinels = Sentinels(place, primary=redis)
            stack.enter_context(sentinels.running())
        whole = await stack.enter_async_context(
            cluster(
                place,
                redis=sentinels.url if sentinels else redis,
                relayed=scenario in {cut_off_follower, cut_off_leader},
                env=env,
            )
        )
        for index, replica in enumerate(whole.replicas):
            await stack.enter_async_context(telemetry(whole, replica, first=index * _NODES, nodes=_NODES, rate=_NODES))
        await asyncio.sleep(_BEFORE_S)
        yield Stage(whole=whole, redis=redis, sentinels=sentinels, clocks=clocks)


async def _step(stage: Stage, steps: Sequence[tuple[str, int]]) -> Harm:
    since = time.monotonic()
    for name, offset in steps:
        since = time.monotonic()
        stage.clocks[name].set(offset)
        await asyncio.sleep(_STEP_S)
    return Harm(since=since)


async def _pause(replica: Replica) -> None:
    replica.leave()
    replica.program.pause()
    await asyncio.sleep(PAUSED_S)
    replica.program.resume()
    replica.come_back()


async def _cut_off(replica: Replica) -> Harm:
    relay = replica.relay
    if relay is None:
        raise BenchError("this scenario needs a relay")
    relay.program.pause()
    await asyncio.sleep(PAUSED_S)
    relay.program.resume()
    return Harm(since=time.monotonic())
