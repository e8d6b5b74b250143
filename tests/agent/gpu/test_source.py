"""The source, with readings that a test lets go on when it likes."""

import asyncio
import threading

import pytest

from tests.agent.clock import Clock
from tokenflow_agent.errors import NvmlError
from tokenflow_agent.gpu import source as module
from tokenflow_agent.gpu.reading import Fault, Reading
from tokenflow_agent.gpu.rows import GpuRow, samples
from tokenflow_agent.gpu.source import LIMIT_S, GpuSource
from tokenflow_agent.sources import Findings, Window
from tokenflow_api.telemetry import Signal
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_api.windows import GpuProcesses

WINDOW = Window(start_unix_ms=0, length_ms=1000)
READING = Reading(
    samples=samples([GpuRow(uuid="GPU-a", index=0)], at_unix_ms=1), processes=GpuProcesses(), lost=(), unread=()
)


class FakeSession:
    def __init__(self) -> None:
        self.outcome: Reading | Exception = READING
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.readings = 0
        self.closings = 0

    def read(self) -> Reading:
        self.readings += 1
        assert self.may_go_on.wait(30)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def close(self) -> None:
        self.closings += 1


class Agent:
    """Has a source go through windows."""

    def __init__(self) -> None:
        self.session = FakeSession()
        self.clock = Clock()
        self.source = GpuSource(self.session, clock=self.clock)

    async def window(self, *, settle: bool = True, **gpu: str) -> Findings:
        """Return what a window of a second brings."""
        await self.source.follow(TelemetryAgentSpec.model_validate({"gpu": gpu}))
        self.clock.now += 1.0
        if settle and self.source._running:
            await asyncio.wait([asyncio.wrap_future(self.source._running)])
        return await self.source.collect(WINDOW)

    def signal(self) -> Signal:
        [signal] = self.source.signals()
        return signal


def shown(signal: Signal) -> tuple[str, str, str]:
    return signal.state, signal.backend, signal.reason


async def test_each_reading_is_told_once_at_its_own_interval() -> None:
    agent = Agent()
    assert shown(agent.signal()) == ("Degraded", "", "Starting")
    brought = [await agent.window(interval="2s") for _ in range(6)]
    assert [None if each.gpu is None else each.gpu.uuid for each in brought] == [["GPU-a"], None] * 3
    assert [each.gpu_processes is None for each in brought] == [False, True] * 3
    assert agent.session.readings == 3
    assert shown(agent.signal()) == ("Active", "NVML", "")


async def test_a_driver_that_hangs_is_told_and_not_asked_twice() -> None:
    agent = Agent()
    await agent.window(interval="1s")
    agent.session.may_go_on.clear()
    for _ in range(int(LIMIT_S) - 1):
        assert (await agent.window(settle=False, interval="1s")).gpu is None
        assert shown(agent.signal()) == ("Active", "NVML", "")
    await agent.window(settle=False, interval="1s")
    assert shown(agent.signal()) == ("Degraded", "", "NVMLTimeout")
    assert agent.session.readings == 2
    agent.session.may_go_on.set()
    assert (await agent.window(interval="1s")).gpu is not None
    assert shown(agent.signal()) == ("Active", "NVML", "")


@pytest.mark.parametrize(
    ("mode", "reason", "expected"),
    [
        ("Auto", "NVMLLibraryNotFound", "Off"),
        ("Auto", "NVMLDriverNotLoaded", "Off"),
        ("Auto", "NoGPU", "Off"),
        ("Auto", "NVMLNoDevice", "Degraded"),
        ("Auto", "NVMLUnknown", "Degraded"),
        ("Required", "NVMLLibraryNotFound", "Degraded"),
        ("Required", "NoGPU", "Degraded"),
    ],
)
async def test_a_node_without_gpus_is_degraded_only_where_they_matter(mode: str, reason: str, expected: str) -> None:
    agent = Agent()
    agent.session.outcome = NvmlError(reason, "it is not there")
    assert (await agent.window(mode=mode)).gpu is None
    assert shown(agent.signal()) == (expected, "", reason)
    assert ("install the NVIDIA driver" in agent.signal().message) == (mode == "Required")


async def test_gpus_that_were_there_are_missed_in_any_mode() -> None:
    agent = Agent()
    await agent.window(interval="1s")
    agent.session.outcome = NvmlError("NVMLDriverNotLoaded", "nvmlDeviceGetCount: Driver Not Loaded")
    await agent.window(interval="1s")
    assert shown(agent.signal()) == ("Degraded", "", "NVMLDriverNotLoaded")
    agent.session.outcome = READING
    await agent.window(interval="1s")
    assert shown(agent.signal()) == ("Active", "NVML", "")


async def test_a_lost_gpu_degrades_the_signal_and_its_reason_comes_first() -> None:
    agent = Agent()
    agent.session.outcome = Reading(
        samples=READING.samples,
        processes=GpuProcesses(),
        lost=(Fault(reason="GPULost", message="GPU 1 (GPU-b) is gone"),),
        unread=(Fault(reason="NVMLNoPermission", message="nvmlGpmSampleGet: Insufficient Permissions"),),
    )
    assert (await agent.window()).gpu == READING.samples
    assert shown(agent.signal()) == ("Degraded", "NVML", "GPULost")
    assert agent.signal().message == "GPU 1 (GPU-b) is gone; nvmlGpmSampleGet: Insufficient Permissions"


async def test_without_any_gpu_left_nothing_is_said_to_read_them() -> None:
    agent = Agent()
    agent.session.outcome = Reading(
        samples=samples([], at_unix_ms=1),
        processes=GpuProcesses(),
        lost=(Fault(reason="GPULost", message="x" * 2000),),
        unread=(),
    )
    await agent.window()
    assert shown(agent.signal()) == ("Degraded", "", "GPULost")


async def test_off_lets_go_of_the_driver_once_and_on_reads_again() -> None:
    agent = Agent()
    await agent.window(interval="60s")
    for _ in range(3):
        assert (await agent.window(mode="Off")).gpu is None
        assert shown(agent.signal()) == ("Off", "", "Disabled")
    assert (agent.session.readings, agent.session.closings) == (1, 1)
    assert (await agent.window(interval="60s")).gpu is not None


async def test_a_fault_of_our_own_takes_away_this_signal_only() -> None:
    agent = Agent()
    agent.session.outcome = ValueError("unheard of")
    assert await agent.window() == Findings()
    assert shown(agent.signal()) == ("Degraded", "", "ReadingFailed")
    assert agent.signal().message == "ValueError: unheard of"


async def test_the_agent_leaves_though_the_driver_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.01)
    agent = Agent()
    agent.session.may_go_on.clear()
    await agent.window(settle=False)
    await agent.source.close()
    assert agent.session.closings == 0
    agent.session.may_go_on.set()


async def test_the_driver_is_let_go_of_at_the_end() -> None:
    agent = Agent()
    await agent.window()
    await agent.source.close()
    assert agent.session.closings == 1
