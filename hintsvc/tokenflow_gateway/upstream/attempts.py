"""One request over as many upstreams as it takes, as long as its reader was sent nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tokenflow_gateway.errors import UpstreamTimeoutError
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.fleet import Fleet
from tokenflow_gateway.upstream.lease import Lease
from tokenflow_gateway.upstream.race import Race
from tokenflow_gateway.upstream.trial import Attempt, Wish


@asynccontextmanager
async def attempts(
    fleet: Fleet,
    client: UpstreamClient,
    outgoing: Outgoing,
    wish: Wish,
    *,
    lease: Lease,
    confirm: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Attempt]:
    """Send a request and yield the first answer that will do, once its body has begun.

    What fails before that is tried again elsewhere, within the fleet's budget. At the end, whatever is still under
    way is cancelled.

    Args:
        fleet: where further leases come from.
        client: to send with.
        outgoing: the request.
        wish: what it asks for.
        lease: of the first upstream; it is given back here.
        confirm: called as soon as an upstream was sent the request; what it raises ends that, and is raised here.

    Raises:
        UpstreamError: no upstream answered.
        UpstreamTimeoutError: the answer did not begin, or was not over, in time.
    """
    fleet.budget.deposit()
    race = Race(fleet, client, outgoing, wish, confirm=confirm)
    try:
        async with asyncio.timeout(wish.total_s) as limit:
            trial = await race.run(lease)
            attempt = trial.attempt(tries=len(race.trials))
            try:
                yield attempt
            finally:
                trial.judge()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UpstreamTimeoutError(
            f"the answer was not over within {wish.total_s:g} s: ask for fewer tokens, or raise"
            " spec.gateway.timeouts.total"
        ) from error
    finally:
        race.close()
