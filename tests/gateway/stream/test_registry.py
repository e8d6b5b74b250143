import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.gateway.stream.support import DONE, ROUTE, FakeAnswer, Setup, hint, token
from tokenflow_gateway.stream.bounds import Bound
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.stream.registry import StreamRegistry
from tokenflow_gateway.stream.windows import Place

PLACE = Place(pod_namespace="n", pod_name="p", service_port=8000)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        yield client


def running(setup: Setup, sock: socket.socket | None = None) -> StreamRegistry:
    setup.answer = FakeAnswer(setup.clock, sock=sock)
    return StreamRegistry(wheel=setup.wheel, guide=setup.guide)


async def test_a_stream_is_known_until_it_ends() -> None:
    setup = Setup(told=hint(80.0))
    registry = running(setup)
    stream = registry.open(setup.opening())
    stream.start()
    assert len(registry) == 1
    setup.call.say(token("a"), DONE, None)
    await asyncio.sleep(0)
    assert stream.ended.result().why is Why.COMPLETE
    assert len(registry) == 0


async def test_a_tenants_streams_count_from_their_opening_to_their_end() -> None:
    setup = Setup(told=hint(80.0))
    registry = running(setup)
    streams = [registry.open(setup.opening()) for _ in range(2)]
    assert (registry.of("gold"), registry.of("silver")) == (2, 0)
    streams[0].start()
    for left, stream in zip((1, 0), streams, strict=True):
        assert stream.abandon().why is Why.READER_LEFT
        await asyncio.sleep(0)
        assert registry.of("gold") == left


async def test_a_window_has_what_open_streams_and_those_that_ended_delivered(sock: socket.socket) -> None:
    setup = Setup(told=hint(80.0))
    registry = running(setup, sock)
    registry.open(setup.opening()).start()
    setup.call.say(token("a"))
    setup.clock.run(1.0)
    rows = registry.windows(7, place=PLACE)
    assert (rows.tenant, rows.upstream, rows.active_streams, rows.delivered_tokens) == (["gold"], ["llama"], [1], [1])
    setup.answer.leave()
    await asyncio.sleep(0)
    assert registry.windows(8, place=PLACE).active_streams == [0]
    assert registry.windows(9, place=PLACE).active_streams == []


async def test_a_stream_without_a_socket_is_in_no_window() -> None:
    setup = Setup()
    registry = running(setup)
    registry.open(setup.opening()).start()
    assert len(registry.windows(7, place=PLACE)) == 0


async def test_people_can_see_how_a_stream_is_doing() -> None:
    setup = Setup(told=hint(5.0))
    registry = running(setup)
    registry.open(setup.opening()).start()
    setup.call.say(token("a"), token("b"), token("c"))
    setup.clock.run(0.05)
    (view,) = registry.views()
    assert (view.route, view.pace.bound, view.pace.tokens_per_second) == (ROUTE, Bound.HINT, 5.0)
    assert (view.tokens, view.queued_tokens, view.queued_bytes) == (1, 2, len(token("b") + token("c")))
    assert view.age_s == pytest.approx(0.05)


async def test_all_streams_are_drained_by_the_deadline() -> None:
    setup = Setup(told=hint(80.0))
    registry = running(setup)
    stream = registry.open(setup.opening())
    stream.start()
    setup.call.say(token("a"))
    registry.drain(setup.clock() + 2.0)
    setup.clock.run(2.1)
    await asyncio.sleep(0)
    assert stream.ended.result().why is Why.DRAINED
    assert len(registry) == 0


async def test_a_stream_that_opens_after_the_drain_began_is_drained_too() -> None:
    setup = Setup(told=hint(80.0))
    registry = running(setup)
    registry.drain(setup.clock() + 0.1)
    stream = registry.open(setup.opening())
    stream.start()
    setup.call.say(token("a"))
    setup.clock.run(0.11)
    assert stream.ended.result().why is Why.DRAINED
    assert b"gateway_draining" in setup.answer.got
