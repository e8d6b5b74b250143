import asyncio
import logging
from collections.abc import Sequence

import pytest

from tests.agent.clock import Clock
from tokenflow_agent.retry import Retry
from tokenflow_agent.sources import Findings, Window
from tokenflow_agent.supervision import PATIENCE, Supervised
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec

WINDOW = Window(start_unix_ms=0, length_ms=1000)
SPEC = TelemetryAgentSpec()


class Moody:
    """A source that fails as it is told."""

    restarts = 0

    def __init__(self) -> None:
        self.mood = "well"

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        assert spec is SPEC

    async def collect(self, window: Window) -> Findings:
        assert window is WINDOW
        if self.mood == "broken":
            raise ZeroDivisionError("by nothing")
        if self.mood == "stuck":
            await asyncio.Event().wait()
        return Findings(events=7)

    def signals(self) -> Sequence[Signal]:
        if self.mood == "mute":
            raise KeyError("signals")
        return [Signal(name="TCPRetransmit", backend="BTFTracepoint", state=SignalState.ACTIVE)]

    async def close(self) -> None:
        raise OSError("gone")


@pytest.fixture
def moody() -> Moody:
    return Moody()


@pytest.fixture
def source(moody: Moody) -> Supervised:
    return Supervised(lambda: moody, timeout_s=0.05)


async def test_a_source_that_works_is_as_it_is(source: Supervised) -> None:
    await source.follow(SPEC)
    assert (await source.collect(WINDOW)).events == 7
    assert [signal.state for signal in source.signals()] == [SignalState.ACTIVE]
    assert source.failures == 0


@pytest.mark.parametrize(("mood", "words"), [("broken", "ZeroDivisionError: by nothing"), ("stuck", "TimeoutError")])
async def test_one_that_fails_is_degraded_until_it_works_again(
    source: Supervised, moody: Moody, mood: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    moody.mood = mood
    for _ in range(2):
        assert await source.collect(WINDOW) == Findings()
    (signal,) = source.signals()
    assert (signal.name, signal.state, signal.reason) == ("TCPRetransmit", SignalState.DEGRADED, "SourceFailed")
    assert words in signal.message
    assert source.failures == 2
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info is not None
    moody.mood = "well"
    assert (await source.collect(WINDOW)).events == 7
    assert [signal.state for signal in source.signals()] == [SignalState.ACTIVE]


async def test_one_that_cannot_even_tell_its_signals_is_told_by_its_name(source: Supervised, moody: Moody) -> None:
    moody.mood = "mute"
    (signal,) = source.signals()
    assert (signal.name, signal.reason) == ("Moody", "SourceFailed")


class Works:
    """Makes sources, each as the test says."""

    def __init__(self, *moods: str) -> None:
        self.moods = list(moods)
        self.made: list[Moody] = []

    def __call__(self) -> Moody:
        self.made.append(Moody())
        self.made[-1].mood = self.moods.pop(0)
        return self.made[-1]


async def test_one_that_goes_on_failing_is_made_anew_until_it_works() -> None:
    clock, works = Clock(), Works("broken", "broken", "well")
    source = Supervised(works, retry=Retry(clock=clock, uniform=max))
    told = []
    for window in range(2 * PATIENCE + 4):
        clock.now = float(window)
        await source.follow(SPEC)
        events = (await source.collect(WINDOW)).events
        told.append((len(works.made), events, [signal.reason for signal in source.signals()]))
    # A pause of one window after the first three failures, of two after the next three.
    assert [made for made, _, _ in told] == [1, 1, 1, 1, 2, 2, 2, 2, 2, 3]
    assert told[-1][1:] == (7, [""])
    assert {reason for _, _, reasons in told[:-1] for reason in reasons} == {"SourceFailed"}
    # Closing fails, too.
    assert (source.failures, source.restarts) == (8, 2)


async def test_what_a_source_begins_anew_itself_counts_for_ever() -> None:
    clock, works = Clock(), Works("broken", "well")
    source = Supervised(works, retry=Retry(clock=clock, uniform=max))
    works.made[0].restarts = 5
    assert source.restarts == 5
    for clock.now in map(float, range(PATIENCE + 2)):
        await source.follow(SPEC)
        await source.collect(WINDOW)
    works.made[1].restarts = 2
    assert source.restarts == 8


async def test_a_failure_now_and_then_begins_nothing_anew(source: Supervised, moody: Moody) -> None:
    for window in range(20):
        await source.follow(SPEC)
        moody.mood = "well" if window % PATIENCE == 0 else "broken"
        await source.collect(WINDOW)
    assert source.failures > PATIENCE
    assert source.restarts == 0


async def test_closing_never_raises(source: Supervised) -> None:
    await source.close()
    assert source.failures == 1
