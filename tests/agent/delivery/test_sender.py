"""Delivery to a real server, through its outage."""

import asyncio

from aiohttp import web

from tokenflow_agent.delivery.sender import MAX_WAITING, Delivery
from tokenflow_api.codec import decode
from tokenflow_api.telemetry import BatchReply, Reporter, TelemetryBatch


def batch(sequence: int) -> TelemetryBatch:
    return TelemetryBatch(
        reporter=Reporter.AGENT, agent="d/nodes", node="n1", boot_id="b", sequence=sequence, sent_at_unix_ms=1
    )


class Ingest:
    """A hint service that takes batches, when it is well."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.refusals = 0
        self.tokens: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=503, text="later")
        self.tokens.add(request.headers["Authorization"])
        received = decode(await request.read(), TelemetryBatch)
        self.got.append(received.sequence)
        return web.json_response(text=BatchReply(sequence=received.sequence, received_at_unix_ms=1).model_dump_json())


async def delivered(ingest: Ingest, sequences: list[int]) -> list[int]:
    app = web.Application()
    app.router.add_post("/v1/telemetry", ingest.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    replies: list[BatchReply] = []
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    delivery = Delivery(policy="demo", url=url, token=lambda: "secret", on_reply=replies.append)
    for sequence in sequences:
        delivery.add(batch(sequence))
    sending = asyncio.create_task(delivery.run())
    await delivery.flush(timeout_s=10)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await runner.cleanup()
    return [reply.sequence for reply in replies]


async def test_batches_arrive_in_order_with_the_token() -> None:
    ingest = Ingest()
    assert await delivered(ingest, [1, 2, 3]) == [1, 2, 3]
    assert ingest.tokens == {"Bearer secret"}


async def test_nothing_is_lost_over_an_outage() -> None:
    ingest = Ingest()
    ingest.refusals = 3
    await delivered(ingest, [1, 2, 3])
    assert ingest.got == [1, 2, 3]


async def test_beyond_the_bound_the_oldest_go() -> None:
    ingest = Ingest()
    await delivered(ingest, list(range(1, MAX_WAITING + 11)))
    assert ingest.got == list(range(11, MAX_WAITING + 11))
