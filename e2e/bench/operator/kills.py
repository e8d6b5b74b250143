"""The operator killed at each write that it makes: whatever was done by then, it comes to the same end."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.operator.stage import Stage
from e2e.bench.programs import running
from e2e.faults.asked import Asked
from tokenflow_operator.kube.kinds import PACING_POLICY, TELEMETRY_AGENT

Deed = Callable[[Stage, str], Awaitable[None]]

_MOST_LIVES: Final = 100
_SETTLED_S: Final = 1.0
"""Longer than the operator waits between two writes of what it has begun."""
_EDITS: Final = (
    {"hintService": {"redis": {"embedded": None, "secretRef": {"name": "redis"}}}, "gateway": {"replicas": 3}},
    {"hintService": {"redis": {"embedded": {}, "secretRef": None}}, "gateway": {"replicas": 2}},
)
"""Each takes objects away or brings them back, and changes others."""


async def nothing(_stage: Stage, _namespace: str) -> None:
    """Do nothing."""


async def create(stage: Stage, namespace: str) -> None:
    """Create both examples."""
    await stage.create(namespace)


async def edit(stage: Stage, namespace: str) -> None:
    """Have the policy do without its own Redis, or with it again, and change the agent's settings."""
    policy = await stage.api.get(PACING_POLICY, namespace=namespace, name="demo")
    if policy is None:
        raise BenchError(f"there is no PacingPolicy {namespace}/demo to edit")
    even = policy["metadata"]["generation"] % 2 == 0
    await stage.api.patch(PACING_POLICY, namespace=namespace, name="demo", change={"spec": _EDITS[even]})
    change = {"spec": {"interval": "1s" if even else "2s"}}
    await stage.api.patch(TELEMETRY_AGENT, namespace=namespace, name="nodes", change=change)


async def delete(stage: Stage, namespace: str) -> None:
    """Delete both examples."""
    await stage.api.delete(PACING_POLICY, namespace=namespace, name="demo")
    await stage.api.delete(TELEMETRY_AGENT, namespace=namespace, name="nodes")


async def killed_on_the_way(stage: Stage, namespace: str, deed: Deed, *, writes: int) -> int:
    """Let the operator live for so many writes at a time until nothing is left, and return how often it was killed.

    Raises:
        BenchError: it never came to an end, or not to what was planned.
    """
    await deed(stage, namespace)
    for kills in range(_MOST_LIVES):
        if not await lives(stage, namespace, until_write=writes):
            return kills
    raise BenchError(f"after {_MOST_LIVES} lives of the operator there still is something to write")


async def lives(stage: Stage, namespace: str, *, until_write: int | None = None) -> bool:
    """Run the operator until all is as planned, or it is killed at one of its writes; return whether it was.

    It is killed after the API server has carried out the write, and before it learns of that.

    Raises:
        BenchError: it did not come to what was planned.
    """
    program, killed, writes = stage.operator.program, asyncio.Event(), itertools.count(1)

    async def after_write(_: Asked) -> None:
        if next(writes) == until_write:
            program.kill()
            killed.set()

    with running(program):
        program.start()
        stage.proxy.after_write = after_write
        try:
            async with asyncio.TaskGroup() as group:
                end = group.create_task(killed.wait())
                done = group.create_task(_settled(stage, namespace))
                await asyncio.wait((end, done), return_when=asyncio.FIRST_COMPLETED)
                end.cancel()
                done.cancel()
        finally:
            stage.proxy.after_write = None
    return killed.is_set()


async def _settled(stage: Stage, namespace: str) -> None:
    """Wait until all is as planned and nothing more is written."""
    writes = -1
    while stage.proxy.writes != writes:
        await stage.converged(namespace)
        writes = stage.proxy.writes
        await asyncio.sleep(_SETTLED_S)


async def kills(stage: Stage, *, most: int) -> AsyncIterator[Figure]:
    """Kill the operator at every write of a creation, of an edit, and of a creation that is then taken back.

    Args:
        stage: where.
        most: of the writes of each, to try only the first.
    """
    yield await _all_kills(stage, "a creation", before=nothing, deed=create, after=nothing, most=most)
    yield await _all_kills(stage, "an edit", before=create, deed=edit, after=nothing, most=most)
    yield await _all_kills(stage, "a creation, then deleted", before=nothing, deed=create, after=delete, most=most)


async def _all_kills(stage: Stage, words: str, *, before: Deed, deed: Deed, after: Deed, most: int) -> Figure:
    started, kills, killed = time.monotonic(), 0, True
    while killed and kills < most:
        namespace = f"{words.translate({32: '-', 44: None})}-{kills + 1}"
        await before(stage, namespace)
        if before is not nothing:
            await lives(stage, namespace)
        await deed(stage, namespace)
        if killed := await lives(stage, namespace, until_write=kills + 1):
            kills += 1
            await after(stage, namespace)
            await lives(stage, namespace)
        # Agents of several namespaces would claim the same nodes.
        await delete(stage, namespace)
    took_s = time.monotonic() - started
    return Figure(
        name=f"Operator killed at each write of {words}",
        value=f"{kills} kills, all came to what was planned",
        goal="each comes to what was planned",
        met=True,
        how=f"one kill -9 a run, after the write was carried out and before the answer; {took_s:.0f} s in all",
    )
