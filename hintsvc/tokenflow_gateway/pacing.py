"""Carries one stream from the upstream to the reader, in batches and at the hint's rate."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tokenflow_gateway.chunks import Item, Raw, Splitter, merge
from tokenflow_gateway.pacer import Pace, Pacer

QUEUE_ITEMS: Final = 256
"""Events held per stream; when it is full the upstream is read no further."""

HEARTBEAT_S: Final = 15.0
HEARTBEAT: Final = b": keep-alive\n\n"

Read = Callable[[], Awaitable[bytes]]
"""Returns the bytes that came since the last call, none at the end; waits while there are none yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sink:
    """The reader's side of a stream.

    Attributes:
        write: sends bytes, and waits while the connection takes no more.
        sent: told how many tokens went out.
        pace: how the stream runs at present.
    """

    write: Callable[[bytes], Awaitable[None]]
    sent: Callable[[int], None]
    pace: Callable[[], Pace]


async def carry(read: Read, sink: Sink, *, first_token_s: float, between_tokens_s: float) -> None:
    """Carry a stream to its end.

    Args:
        read: reads on in the upstream's answer.
        sink: the reader.
        first_token_s: longest wait for the first event.
        between_tokens_s: longest wait for each further one.

    Raises:
        TimeoutError: the upstream fell silent.
        aiohttp.ClientError: the upstream broke off.
        ConnectionResetError: the reader left.
        ValueError: an event is too large.
    """
    # None marks the end.
    queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUE_ITEMS)
    pump = asyncio.create_task(_pump(read, queue, first_s=first_token_s, between_s=between_tokens_s))
    try:
        await _drain(queue, sink, pump)
        await pump
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(read: Read, queue: asyncio.Queue[Item | None], *, first_s: float, between_s: float) -> None:
    """Read to the end and mark it; a pump that is called off marks nothing, for nobody would make room for it."""
    try:
        await _split(read, queue, first_s=first_s, between_s=between_s)
    except Exception:
        await queue.put(None)
        raise
    await queue.put(None)


async def _split(read: Read, queue: asyncio.Queue[Item | None], *, first_s: float, between_s: float) -> None:
    splitter = Splitter()
    patience = first_s
    while True:
        async with asyncio.timeout(patience):
            data = await read()
        if not data:
            break
        for item in splitter.feed(data):
            await queue.put(item)
        patience = between_s
    rest = splitter.rest()
    if rest:
        await queue.put(Raw(rest))


async def _drain(queue: asyncio.Queue[Item | None], sink: Sink, pump: asyncio.Task[None]) -> None:
    pacer = Pacer()
    first = True
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                item = await queue.get()
        except TimeoutError:
            await sink.write(HEARTBEAT)
            continue
        if item is None:
            return
        pace = sink.pace()
        batch: list[Item | None] = [item]
        if not first:
            await _fill(batch, queue, pace, pump)
        await asyncio.sleep(pacer.due(time.monotonic()))
        _take_waiting(batch, queue, pace)
        ended = batch[-1] is None
        items = [one for one in batch if one is not None]
        tokens = sum(one.tokens for one in items)
        await sink.write(merge(items))
        pacer.sent(tokens, at=time.monotonic(), tokens_per_second=pace.tokens_per_second)
        sink.sent(tokens)
        first = first and not tokens
        if ended:
            return


async def _fill(
    batch: list[Item | None], queue: asyncio.Queue[Item | None], pace: Pace, pump: asyncio.Task[None]
) -> None:
    """Wait for the rest of the batch, no longer than the pace allows."""
    deadline = asyncio.get_running_loop().time() + pace.batch_delay_s
    try:
        async with asyncio.timeout_at(deadline):
            while len(batch) < pace.batch_size and batch[-1] is not None and not (pump.done() and queue.empty()):
                batch.append(await queue.get())
    except TimeoutError:
        # The delay is over: what there is goes out.
        return


def _take_waiting(batch: list[Item | None], queue: asyncio.Queue[Item | None], pace: Pace) -> None:
    """Take what came in the meantime, up to the batch's size."""
    while len(batch) < pace.batch_size and batch[-1] is not None and not queue.empty():
        batch.append(queue.get_nowait())
