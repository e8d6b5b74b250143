"""All deliveries of an agent, to real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.agent.delivery.hint_service import HintService, batch, serving
from tokenflow_agent.delivery.fanout import Deliveries
from tokenflow_agent.delivery.sender import Context
from tokenflow_agent.delivery.state import Circuit
from tokenflow_api.clock import Clock
from tokenflow_api.codec import encode
from tokenflow_api.telemetry import IngestAddress

MOST = 1 << 20


def to(**urls: str) -> list[IngestAddress]:
    return [IngestAddress(policy=policy, url=url) for policy, url in urls.items()]


@asynccontextmanager
async def delivering(directory: Path, *, flush_s: float = 10) -> AsyncIterator[Deliveries]:
    context = Context(token=str, on_reply=lambda _: None, clock=Clock())
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        deliveries = Deliveries(directory, context=context, tasks=tasks)
        yield deliveries
        await deliveries.close(timeout_s=flush_s)


async def add(deliveries: Deliveries, *sequences: int) -> None:
    for sequence in sequences:
        await deliveries.add(encode(batch(sequence)), at_unix_ms=1)


async def test_every_policy_gets_every_window(tmp_path: Path) -> None:
    one, other = HintService(), HintService()
    async with serving(one) as first, serving(other) as second, delivering(tmp_path) as deliveries:
        await deliveries.follow(to(a=first, b=second), most_bytes=MOST)
        await add(deliveries, 1, 2, 3)
    assert one.sequences == other.sequences == [1, 2, 3]


async def test_one_that_is_away_holds_up_nobody_and_gets_all_later(tmp_path: Path) -> None:
    one, other = HintService(), HintService(away=True)
    async with serving(one) as first, serving(other) as second:
        async with delivering(tmp_path, flush_s=0.5) as deliveries:
            await deliveries.follow(to(a=first, b=second), most_bytes=MOST)
            await add(deliveries, 1, 2, 3)
            while not all(state.message or not state.waiting for state in deliveries.state.destinations):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        assert one.sequences == [1, 2, 3]
        by_policy = {state.policy: state for state in deliveries.state.destinations}
        assert (by_policy["a"].waiting, by_policy["b"].waiting) == (0, 3)
        assert "answered 503: later" in by_policy["b"].message
        other.away = False
        async with delivering(tmp_path) as deliveries:
            await deliveries.follow(to(a=first, b=second), most_bytes=MOST)
            await add(deliveries, 4)
    assert one.sequences == [1, 2, 3, 4]
    assert other.sequences == [1, 2, 3, 4]


async def test_an_address_that_changes_is_followed_without_loss(tmp_path: Path) -> None:
    service = HintService()
    async with serving(service) as url, delivering(tmp_path) as deliveries:
        await deliveries.follow(to(a="http://127.0.0.1:1"), most_bytes=MOST)
        await add(deliveries, 1)
        await deliveries.follow(to(a=url), most_bytes=MOST)
        await add(deliveries, 2)
    assert service.sequences == [1, 2]


async def test_an_agent_that_no_policy_names_keeps_nothing(tmp_path: Path) -> None:
    async with delivering(tmp_path / "spool") as deliveries:
        await deliveries.follow([], most_bytes=MOST)
        await add(deliveries, 1)
    assert deliveries.state.destinations == ()
    assert not (tmp_path / "spool").exists()


async def test_the_state_tells_lag_and_circuit(tmp_path: Path) -> None:
    async with delivering(tmp_path, flush_s=0.2) as deliveries:
        await deliveries.follow(to(a="http://127.0.0.1:1"), most_bytes=MOST)
        await add(deliveries, 1)
    whole = deliveries.state
    (state,) = whole.destinations
    assert state.circuit is Circuit.CLOSED
    assert state.lag_ms > 1_000_000
    assert whole.lag_ms == state.lag_ms
