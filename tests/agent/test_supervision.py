import asyncio
import logging
from collections.abc import Sequence

import pytest

from tokenflow_agent.sources import Findings, Window
from tokenflow_agent.supervision import Supervised
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_api.telemetry_agent import TelemetryAgentSpec

WINDOW = Window(start_unix_ms=0, length_ms=1000)
SPEC = TelemetryAgentSpec()


class Moody:
    """A source that fails as it is told."""

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
    return Supervised(moody, timeout_s=0.05)


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


async def test_closing_never_raises(source: Supervised) -> None:
    await source.close()
    assert source.failures == 1
