"""One stream, from bytes that an upstream sent to writes that a reader gets."""

import asyncio
import json
from dataclasses import dataclass, field

import aiohttp
import pytest

from tokenflow_gateway.pacer import UNPACED, Pace
from tokenflow_gateway.pacing import QUEUE_ITEMS, Sink, carry

ROLE = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def token(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


class Upstream:
    """Sends what it is told to."""

    def __init__(self) -> None:
        self._sent: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def send(self, data: bytes | Exception) -> None:
        self._sent.put_nowait(data)

    def end(self) -> None:
        self.send(b"")

    async def read(self) -> bytes:
        data = await self._sent.get()
        if isinstance(data, Exception):
            raise data
        return data

    @property
    def unread(self) -> int:
        return self._sent.qsize()


@dataclass
class Reader:
    """Takes what is written, once it is let."""

    pace: Pace = UNPACED
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    got: bytes = b""
    tokens: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, data: bytes) -> None:
        await self.reading.wait()
        self.got += data
        self.arrived.set()

    def sent(self, tokens: int) -> None:
        self.tokens += tokens

    def carry(self, body: Upstream, *, silence_s: float = 5.0) -> asyncio.Task[None]:
        sink = Sink(write=self.write, sent=self.sent, pace=lambda: self.pace)
        return asyncio.create_task(carry(body.read, sink, first_token_s=silence_s, between_tokens_s=silence_s))


@pytest.fixture
async def reader() -> Reader:
    reader = Reader()
    reader.reading.set()
    return reader


async def test_neither_the_role_nor_the_first_token_waits_for_a_batch(reader: Reader) -> None:
    reader.pace = Pace(tokens_per_second=10.0, batch_size=16, batch_delay_s=3600.0)
    body = Upstream()
    carrying = reader.carry(body)
    body.send(ROLE)
    async with asyncio.timeout(5):
        await reader.arrived.wait()
        assert reader.got == ROLE
        reader.arrived.clear()
        body.send(token("a"))
        await reader.arrived.wait()
        assert reader.got == ROLE + token("a")
        body.send(DONE)
        body.end()
        await carrying
    assert reader.got == ROLE + token("a") + DONE


async def test_a_last_event_without_its_blank_line_is_passed_on(reader: Reader) -> None:
    body = Upstream()
    body.send(token("a") + b"data: [DONE]")
    body.end()
    await reader.carry(body)
    assert reader.got == token("a") + b"data: [DONE]"


async def test_a_stream_that_is_called_off_while_its_queue_is_full_ends(reader: Reader) -> None:
    reader.reading.clear()
    body = Upstream()
    carrying = reader.carry(body)
    for _ in range(2 * QUEUE_ITEMS):
        body.send(token("a"))
    async with asyncio.timeout(5):
        # One event is at the reader, the queue is full, and one more waits for room in it.
        while body.unread > QUEUE_ITEMS - 2:  # noqa: ASYNC110 - the upstream is not told that it is read
            await asyncio.sleep(0)
    carrying.cancel()
    ended, _ = await asyncio.wait([carrying], timeout=5)
    assert ended


async def test_what_came_before_a_failure_still_arrives(reader: Reader) -> None:
    body = Upstream()
    body.send(token("a"))
    carrying = reader.carry(body)
    async with asyncio.timeout(5):
        await reader.arrived.wait()
    body.send(aiohttp.ClientPayloadError("cut off"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await carrying
    assert reader.got == token("a")


async def test_a_silent_upstream_is_given_up(reader: Reader) -> None:
    with pytest.raises(TimeoutError):
        await reader.carry(Upstream(), silence_s=0.05)


async def test_parts_that_cannot_be_merged_are_paced_too(reader: Reader) -> None:
    reader.pace = Pace(tokens_per_second=20.0, batch_size=1, batch_delay_s=0.0)
    call = b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]}\n\n'
    body = Upstream()
    body.send(call * 11)
    body.end()
    started = asyncio.get_running_loop().time()
    await reader.carry(body)
    assert asyncio.get_running_loop().time() - started > 0.3
    assert (reader.got, reader.tokens) == (call * 11, 11)
