"""What becomes of the cluster when the operator, its API server or the way between them fails."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from e2e.bench.figures import Figure
from e2e.bench.operator.disturbances import disturbances
from e2e.bench.operator.kills import kills
from e2e.bench.operator.site import site
from e2e.bench.operator.stage import stage
from e2e.bench.operator.subject import at_work

_NODES: Final = 3


async def chaos(*, kills_each: int, hold_s: float) -> AsyncIterator[Figure]:
    """Disturb an operator, then kill it at each write.

    Args:
        kills_each: most writes at which it is killed, for each thing that it does.
        hold_s: seconds of each disturbance.
    """
    with site() as place:
        await asyncio.to_thread(place.add_nodes, _NODES)
        async with stage(place) as where:
            with at_work(where.operator):
                async for figure in disturbances(where, hold_s=hold_s):
                    yield figure
            async for figure in kills(where, most=kills_each):
                yield figure
