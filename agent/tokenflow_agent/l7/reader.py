"""An opened backend: reads what the kernel hands over, often enough that its buffer does not fill."""

import asyncio
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.l7.hooks import FUNCTIONS
from tokenflow_agent.l7.interpreter import Interpreter
from tokenflow_agent.l7.probe import Counts, L7Probe
from tokenflow_agent.l7.record import decode
from tokenflow_agent.l7.tally import Tallies
from tokenflow_agent.l7.tls import TlsLibraries
from tokenflow_api.telemetry_agent import Http, Probe

GATHER_S: Final = 0.2
"""Pause between the first record and reading all that came meanwhile: the buffer must hold them."""
LOOK_EVERY_S: Final = 2.0
"""Pause between two looks at the node's processes for TLS libraries."""
_BREATH: Final = 256
"""Records read before others get their turn."""
_MOST: Final = 65_536
"""Records read in one turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """What was seen since the last reading."""

    tallies: Tallies
    counts: Counts


class L7Reader:
    """Reads until ``close``.

    Args:
        probe: attached; this owns it from now on.
    """

    def __init__(self, probe: L7Probe) -> None:
        self._probe = probe
        self._libraries = TlsLibraries(probe.hook, frozenset(FUNCTIONS))
        self._wanted: tuple[Probe, ...] = ()
        self._interpreter = Interpreter(Http(), probe)
        self._one = asyncio.Lock()
        self._tasks = [asyncio.create_task(self._read_on()), asyncio.create_task(self._look_on())]

    def follow(self, probes: tuple[Probe, ...], http: Http) -> None:
        """Look for what ``probes`` read, and name requests as ``http`` says, from now on.

        Raises:
            ProbeError: the kernel refused.
        """
        self._interpreter.follow(http)
        if probes == self._wanted:
            return
        try:
            self._probe.want(probes)
        except OSError as error:
            raise ProbeError("MapUnwritable", f"the kernel refused to write a map: {error}") from error
        self._wanted = probes

    @property
    def tls_problem(self) -> ProbeError | None:
        """Why a TLS library that is in use cannot be watched; ``None`` where all can."""
        return self._libraries.problem

    async def harvest(self) -> Harvest:
        """Return what was seen since the last call.

        Raises:
            ProbeError: the kernel cannot be read any more.
        """
        try:
            for task in self._tasks:
                if task.done():
                    task.result()
            await self._read()
            return Harvest(tallies=self._interpreter.drain(), counts=self._probe.counts())
        except OSError as error:
            raise ProbeError("MapUnreadable", f"the kernel refused to read a map: {error}") from error

    def close(self) -> None:
        """Let go of the kernel."""
        for task in self._tasks:
            task.cancel()
        asyncio.get_running_loop().remove_reader(self._probe)
        self._libraries.close()
        self._probe.close()

    async def _read_on(self) -> None:
        while True:
            await self._records()
            await asyncio.sleep(GATHER_S)
            await self._read()

    async def _records(self) -> None:
        """Wait until there are some."""
        loop = asyncio.get_running_loop()
        come = loop.create_future()
        loop.add_reader(self._probe, self._came, come)
        await come

    def _came(self, come: asyncio.Future[None]) -> None:
        asyncio.get_running_loop().remove_reader(self._probe)
        come.set_result(None)

    async def _look_on(self) -> None:
        while True:
            if Probe.TLS_LATENCY in self._wanted:
                await asyncio.to_thread(self._libraries.look)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _read(self) -> None:
        async with self._one:
            for number, data in enumerate(self._probe.records(most=_MOST), start=1):
                self._interpreter.take(decode(data))
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
