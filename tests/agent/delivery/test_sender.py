"""Delivery of one policy's windows to a real server."""

import asyncio
from collections import deque

import pytest
from aiohttp import web

from tests.agent.delivery.hint_service import HintService, batch, serving
from tokenflow_agent.delivery.segment import Record
from tokenflow_agent.delivery.sender import Context, Delivery
from tokenflow_agent.delivery.state import Circuit
from tokenflow_api.clock import Clock
from tokenflow_api.codec import encode
from tokenflow_api.telemetry import IngestAddress


class Queue:
    """Records in memory."""

    def __init__(self, sequences: list[int]) -> None:
        self.records = deque(Record(number, 1, encode(batch(number))) for number in sequences)
        self.dropped: list[tuple[int, str]] = []
        self.empty = asyncio.Event()

    async def first(self) -> Record:
        if not self.records:
            self.empty.set()
            await asyncio.Event().wait()
        return self.records[0]

    async def acknowledge(self, record: Record, *, dropped: str = "") -> None:
        assert self.records.popleft() is record
        if dropped:
            self.dropped.append((record.number, dropped))


class Sleeper:
    """Does not sleep, and remembers for how long it did not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, pause_s: float) -> None:
        self.slept.append(pause_s)
        await asyncio.sleep(0)


class Sent:
    """A delivery that has sent all it had."""

    def __init__(self) -> None:
        self.token = "secret"
        self.sleeper = Sleeper()
        self.acknowledged: list[int] = []
        self.clock = Clock()

    async def run(self, service: HintService, sequences: list[int], *, url: str = "") -> tuple[Delivery, Queue]:
        queue = Queue(sequences)
        context = Context(
            token=lambda: self.token,
            on_reply=lambda reply: self.acknowledged.append(reply.sequence),
            clock=self.clock,
            sleep=self.sleeper,
        )
        async with serving(service) as address, asyncio.timeout(60):
            delivery = Delivery(IngestAddress(policy="demo", url=url or address), queue=queue, context=context)
            sending = asyncio.create_task(delivery.run())
            emptied = asyncio.create_task(queue.empty.wait())
            await asyncio.wait([sending, emptied], return_when=asyncio.FIRST_COMPLETED)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return delivery, queue


async def test_windows_arrive_in_order_with_the_token() -> None:
    service, sent = HintService(), Sent()
    delivery, _ = await sent.run(service, [1, 2, 3])
    assert service.sequences == [1, 2, 3]
    assert service.tokens == {"Bearer secret"}
    assert sent.acknowledged == [1, 2, 3]
    assert delivery.outcomes == {"sent": 3}
    assert sent.clock.reading().error_ms is not None


async def test_without_a_token_none_is_shown() -> None:
    service, sent = HintService(), Sent()
    sent.token = ""
    await sent.run(service, [1])
    assert service.tokens == {""}


async def test_an_outage_loses_nothing() -> None:
    service = HintService(answers=[web.Response(status=503) for _ in range(7)])
    delivery, _ = await Sent().run(service, [1, 2, 3])
    assert service.sequences == [1, 2, 3]
    assert delivery.outcomes == {"failed": 7, "sent": 3}
    assert delivery.circuit is Circuit.CLOSED
    assert not delivery.message


async def test_what_is_refused_for_good_is_dropped_and_counted() -> None:
    service = HintService(answers=[web.Response(status=400, text="no such field")])
    delivery, queue = await Sent().run(service, [1, 2])
    assert service.sequences == [2]
    assert queue.dropped == [(1, "Refused")]
    assert delivery.outcomes == {"refused": 1, "sent": 1}


async def test_a_refused_token_is_tried_again_slowly() -> None:
    service, sent = HintService(answers=[web.Response(status=401)]), Sent()
    await sent.run(service, [1])
    assert service.sequences == [1]
    assert sent.sleeper.slept[0] == pytest.approx(5, abs=0.5)


async def test_a_server_that_names_its_time_is_obeyed() -> None:
    service, sent = HintService(answers=[web.Response(status=429, headers={"Retry-After": "40"})]), Sent()
    await sent.run(service, [1])
    assert sent.sleeper.slept[0] == pytest.approx(40, abs=0.5)


async def test_catching_up_is_paced() -> None:
    service, sent = HintService(), Sent()
    await sent.run(service, list(range(1, 11)))
    assert all(0 <= pause_s <= 1 / 20 for pause_s in sent.sleeper.slept)
    assert sum(sent.sleeper.slept) > 0.1


async def test_an_answer_that_acknowledges_nothing_is_none() -> None:
    service = HintService(answers=[web.Response(text="<html>welcome</html>")])
    delivery, _ = await Sent().run(service, [1])
    assert service.sequences == [1]
    assert delivery.outcomes == {"failed": 1, "sent": 1}


async def test_what_fails_is_told() -> None:
    queue, attempted = Queue([1]), asyncio.Event()

    async def sleep(_: float) -> None:
        attempted.set()
        await asyncio.Event().wait()

    context = Context(token=str, on_reply=lambda _: None, clock=Clock(), sleep=sleep)
    delivery = Delivery(IngestAddress(policy="demo", url="http://127.0.0.1:1"), queue=queue, context=context)
    sending = asyncio.create_task(delivery.run())
    await asyncio.wait_for(attempted.wait(), 60)
    assert "Connect call failed" in delivery.message
    assert delivery.in_flight is queue.records[0]
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
