import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from tests.agent.clock import Clock
from tokenflow_agent.backends import Candidate, Chain
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.retry import FIRST_S, LASTING_S, MOST_S, Retry
from tokenflow_api.telemetry import SignalState
from tokenflow_api.telemetry_agent import Backend

BEST, SECOND, LAST = Backend.BTF_TRACEPOINT, Backend.BCC_TRACEPOINT, Backend.SOCK_DIAG


class Node:
    """A node that offers some backends and refuses the others."""

    def __init__(self, *offered: Backend) -> None:
        self.offered = set(offered)
        self.tries: list[Backend] = []
        self.opened: list[Reader] = []

    def candidate(self, backend: Backend) -> Candidate["Reader"]:
        return Candidate(backend, self.opener(backend))

    def opener(self, backend: Backend) -> Callable[[], Awaitable["Reader"]]:
        async def opens() -> Reader:
            self.tries.append(backend)
            if backend not in self.offered:
                raise ProbeError(f"No{backend}", f"{backend} is not to be had: get it")
            self.opened.append(Reader(backend))
            return self.opened[-1]

        return opens


class Reader:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.closed = False

    def close(self) -> None:
        self.closed = True


def chain(node: Node, clock: Clock) -> Chain[Reader]:
    candidates = [node.candidate(backend) for backend in (BEST, SECOND, LAST)]
    return Chain("TCP", candidates, retry=lambda: Retry(clock=clock, uniform=max))


async def test_the_best_one_is_taken_and_kept() -> None:
    node = Node(BEST, LAST)
    held = chain(node, Clock())
    for _ in range(3):
        await held.ensure(Backend.AUTO)
    assert node.tries == [BEST]
    assert held.signal("TCPRetransmit").model_dump(exclude_defaults=True) == {
        "name": "TCPRetransmit",
        "backend": "BTFTracepoint",
        "state": SignalState.ACTIVE,
    }


async def test_a_lesser_one_says_why_no_better_one() -> None:
    held = chain(Node(LAST), Clock())
    await held.ensure(Backend.AUTO)
    signal = held.signal("TCPRetransmit")
    assert (signal.state, signal.backend, signal.reason) == (SignalState.DEGRADED, "SockDiag", "NoBTFTracepoint")
    assert signal.message == (
        "BTFTracepoint: BTFTracepoint is not to be had: get it; BCCTracepoint: BCCTracepoint is not to be had: get it"
    )


async def test_none_is_told_with_every_reason_and_tried_again() -> None:
    node, clock = Node(), Clock()
    held = chain(node, clock)
    assert await held.ensure(Backend.AUTO) is None
    assert held.signal("TCPRetransmit").backend == ""
    clock.now = FIRST_S / 2
    await held.ensure(Backend.AUTO)
    assert node.tries == [BEST, SECOND, LAST]
    node.offered = {SECOND}
    clock.now = FIRST_S
    reader = await held.ensure(Backend.AUTO)
    assert reader is not None
    assert reader.backend is SECOND


async def test_a_better_one_takes_over_when_it_comes() -> None:
    node, clock = Node(LAST), Clock()
    held = chain(node, clock)
    await held.ensure(Backend.AUTO)
    node.offered.add(BEST)
    clock.now = FIRST_S
    await held.ensure(Backend.AUTO)
    assert held.backend is BEST
    assert [(reader.backend, reader.closed) for reader in node.opened] == [(LAST, True), (BEST, False)]
    assert held.signal("TCPRetransmit").state is SignalState.ACTIVE


async def test_one_that_fails_makes_room_for_the_next_for_a_while() -> None:
    node, clock = Node(BEST, LAST), Clock()
    held = chain(node, clock)
    await held.ensure(Backend.AUTO)
    held.failed(ProbeError("MapUnreadable", "the map is gone"))
    assert node.opened[0].closed
    await held.ensure(Backend.AUTO)
    assert held.backend is LAST
    assert held.signal("TCPRetransmit").reason == "MapUnreadable"
    clock.now = FIRST_S
    await held.ensure(Backend.AUTO)
    assert held.backend is BEST


async def test_the_one_asked_for_is_taken_or_none() -> None:
    node = Node(BEST, LAST)
    held = chain(node, Clock())
    await held.ensure(Backend.AUTO)
    await held.ensure(LAST)
    assert held.backend is LAST
    assert node.opened[0].closed
    # It is what was asked for: nothing is wrong with it.
    assert held.signal("TCPRetransmit").state is SignalState.ACTIVE
    assert await held.ensure(SECOND) is None
    assert held.signal("TCPRetransmit").reason == "NoBCCTracepoint"


async def test_one_that_fails_twice_and_then_works_is_back_by_itself() -> None:
    node, clock = Node(), Clock()
    held = Chain("HTTP", [node.candidate(BEST)], retry=lambda: Retry(clock=clock, uniform=max))
    tried = []
    for clock.now in (0.0, 0.5, 1.0, 2.0, 2.5, 3.0):
        if clock.now == 2.5:
            node.offered.add(BEST)
        await held.ensure(Backend.AUTO)
        tried.append((len(node.tries), held.restarts, held.signal("HTTPLatency").state))
    degraded, active = SignalState.DEGRADED, SignalState.ACTIVE
    assert tried == [
        *((1, 0, degraded), (1, 0, degraded), (2, 1, degraded)),
        *((2, 1, degraded), (2, 1, degraded), (3, 2, active)),
    ]


async def test_one_that_fails_again_and_again_is_begun_anew_ever_less() -> None:
    node, clock = Node(BEST), Clock()
    held = Chain("HTTP", [node.candidate(BEST)], retry=lambda: Retry(clock=clock, uniform=max))
    for _ in range(3600):
        clock.now += 1.0
        if await held.ensure(Backend.AUTO):
            held.failed(ProbeError("MapUnreadable", "the map is gone"))
    assert held.restarts == 19
    assert all(reader.closed for reader in node.opened)


async def test_one_that_the_kernel_lacks_is_tried_rarely() -> None:
    clock, tries = Clock(), 0

    async def lacking() -> Reader:
        nonlocal tries
        tries += 1
        raise ProbeError("TracepointMissing", "this kernel has no such tracepoint", lasting=True)

    node = Node(LAST)
    held = Chain("TCP", [Candidate(BEST, lacking), node.candidate(LAST)], retry=lambda: Retry(clock=clock))
    for clock.now in (0.0, 10 * MOST_S, LASTING_S - 1, LASTING_S):
        await held.ensure(Backend.AUTO)
        assert held.signal("TCPRetransmit").reason == "TracepointMissing"
    assert tries == 2
    assert node.tries == [LAST]


async def test_what_nobody_foresaw_costs_that_backend_alone() -> None:
    async def broken() -> Reader:
        raise KeyError("offset")

    held = Chain("TCP", [Candidate(BEST, broken), Node(LAST).candidate(LAST)])
    await held.ensure(Backend.AUTO)
    signal = held.signal("TCPRetransmit")
    assert (signal.backend, signal.reason) == (LAST, "SourceFailed")
    assert "KeyError: 'offset'" in signal.message


async def test_what_takes_too_long_is_not_tried_again_at_once() -> None:
    clock, tries = Clock(), 0

    async def slow() -> Reader:
        nonlocal tries
        tries += 1
        return await asyncio.get_running_loop().create_future()

    held = Chain[Reader]("TCP", [Candidate(BEST, slow)], retry=lambda: Retry(clock=clock, uniform=max))
    for clock.now in (0.0, FIRST_S / 2, FIRST_S):
        with suppress(TimeoutError):
            await asyncio.wait_for(held.ensure(Backend.AUTO), 0.01)
    assert tries == 2


@pytest.mark.parametrize("asked", [Backend.KPROBE, Backend.PROC])
async def test_one_that_cannot_read_this_signal_is_told(asked: Backend) -> None:
    held = chain(Node(BEST), Clock())
    assert await held.ensure(asked) is None
    signal = held.signal("TCPRetransmit")
    assert signal.reason == "BackendUnsuitable"
    assert "spec.ebpf.backend: Auto" in signal.message


async def test_nothing_is_open_after_close() -> None:
    node = Node(BEST)
    held = chain(node, Clock())
    await held.ensure(Backend.AUTO)
    held.close()
    assert node.opened[0].closed
    assert held.reader is None
    assert held.signal("TCPRetransmit").reason == "Starting"
