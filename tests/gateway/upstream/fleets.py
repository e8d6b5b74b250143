"""Upstreams as a choice sees them, and fleets of made-up ones."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.gateway.upstream.servers import NO_KEYS, PATIENCE_S
from tokenflow_api.pacing_policy import Gateway, Upstream
from tokenflow_gateway.upstream.choice import UpstreamState
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.fleet import Fleet
from tokenflow_gateway.upstream.keys import UpstreamKeys
from tokenflow_gateway.upstream.lease import Lease
from tokenflow_gateway.upstream.member import NO_INSIGHT, Insight


def state(name: str = "a", *, weight: int = 1, in_flight: int = 0, most: int = 1000, **known: float) -> UpstreamState:
    return UpstreamState(
        name=name,
        weight=weight,
        in_flight=in_flight,
        most=most,
        resting=bool(known.get("resting")),
        waiting=known.get("waiting"),
        kv_cache=known.get("kv_cache"),
        gpu=known.get("gpu"),
        health=known.get("health"),
    )


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def gateway(*upstreams: Upstream, **fields: object) -> Gateway:
    return Gateway.model_validate({"upstreams": list(upstreams), **fields})


@asynccontextmanager
async def fleet_of(
    *upstreams: Upstream,
    insight: Callable[[str], Insight] = lambda _: NO_INSIGHT,
    clock: Callable[[], float] = time.monotonic,
    **fields: object,
) -> AsyncIterator[tuple[Fleet, UpstreamClient]]:
    """A fleet that looks at nothing by itself."""
    async with UpstreamClient(UpstreamKeys(NO_KEYS)) as client:
        fleet = Fleet(client, insight=insight, clock=clock)
        fleet.adopt(gateway(*upstreams, **fields))
        yield fleet, client


def taken(fleet: Fleet, model: str | None = "llama-3", **choice: Any) -> Lease:
    """Take a lease, of which there must be one."""
    lease = fleet.take(model, prefix=None, **choice)
    assert lease is not None
    return lease


async def eventually(holds: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> None:
    """Wait until something that happens in other tasks holds."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
