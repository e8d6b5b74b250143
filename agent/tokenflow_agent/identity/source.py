"""Whether pods can be named, as a source of the agent."""

import asyncio
from collections.abc import Sequence
from typing import Final

from tokenflow_agent.identity.pods import Pods
from tokenflow_agent.sources import Findings, Window
from tokenflow_api.telemetry import Signal
from tokenflow_api.telemetry_agent import TelemetryAgentSpec


class PodNameSource:
    """Keeps the names of pods up to date and tells what the node lacks for it.

    Args:
        pods: names the pods.
    """

    restarts: Final = 0
    """It holds nothing that could be begun anew."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Nothing of a spec bears on names."""

    async def collect(self, window: Window) -> Findings:
        """Notice pods that came and went; a window has nothing of it."""
        del window
        if self._pods.upkeep_due:
            await asyncio.to_thread(self._pods.upkeep)
        return Findings()

    def signals(self) -> Sequence[Signal]:
        """Return whether pods can be named."""
        return [self._pods.signal()]

    async def close(self) -> None:
        """Nothing is held."""
