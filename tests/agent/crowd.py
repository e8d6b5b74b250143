"""The agent on a node with many pods: it reads all that it can, and the rows are those of a crowd."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.agent.export.tables import table
from tokenflow_agent import agent
from tokenflow_agent.__main__ import main
from tokenflow_agent.sources import Findings, Source, Window
from tokenflow_api.telemetry import Signal
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_api.windows import HttpWindows, ListenWindows, SqlWindows, TcpWindows

PODS = 300

TableT = TypeVar("TableT", TcpWindows, ListenWindows, HttpWindows, SqlWindows)


class Crowd:
    """Finds ``PODS`` pods, each of which serves two client networks, two routes, and asks a database."""

    restarts = 0

    def __init__(self) -> None:
        self._window = 0

    async def follow(self, spec: TelemetryAgentSpec) -> None:
        """Be as ``spec`` asks: there is no choice."""

    async def collect(self, window: Window) -> Findings:  # noqa: ARG002 - its times are made up like the rest
        """Return the rows of a window, new ones each time as those of any source."""
        self._window += 1
        return Findings(
            tcp=self._rows(TcpWindows, destination_class=["192.0.2.0/24", "198.51.100.0/24"]),
            listen=self._rows(ListenWindows),
            http=self._rows(HttpWindows, route=["/v1/*", "/v2/*"]),
            sql=self._rows(SqlWindows),
        )

    def signals(self) -> Sequence[Signal]:
        """Return none: those of the real sources are told."""
        return ()

    async def close(self) -> None:
        """Hold nothing."""

    def _rows(self, kind: type[TableT], **kinds: list[str]) -> TableT:
        """Return a row for each pod and kind; every third number is 0, as counts of what goes wrong mostly are."""
        each = max(map(len, kinds.values()), default=1)
        rows = PODS * each
        columns = table(kind, rows=rows).model_dump()
        for at, (name, values) in enumerate(columns.items()):
            if name in kinds:
                columns[name] = kinds[name] * PODS
            elif name == "pod_name":
                columns[name] = [f"checkout-7d9f8b6c4-{row // each:05d}" for row in range(rows)]
            elif name == "pod_uid":
                columns[name] = [f"0b4bd1a2-1d0f-4c6c-9a53-{row // each:012d}" for row in range(rows)]
            elif name != "service_port" and type(values[0]) is int:
                columns[name] = [bool(at % 3) * (1000 * at + 7919 * row + self._window) for row in range(rows)]
        return kind(**columns)


def sources(settings: agent.Settings) -> list[Callable[[], Source]]:
    """Return the crowd before all that the agent reads: the first one who fills a table is heard."""
    return [Crowd, *_real(settings)]


if __name__ == "__main__":
    _real, agent.sources = agent.sources, sources
    sys.exit(main())
