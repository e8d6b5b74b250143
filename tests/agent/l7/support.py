"""What live tests share: rows by port, and a source that is collected until all was seen."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pytest

from tokenflow_agent.identity import Origin, Pod, Pods
from tokenflow_agent.kernel import btf
from tokenflow_agent.l7.source import L7Source
from tokenflow_agent.sources import Findings, Window
from tokenflow_agent.supervision import Supervised
from tokenflow_api.telemetry_agent import Ebpf, Http, Probe, TelemetryAgentSpec
from tokenflow_api.windows import HttpWindows, SqlWindows

POD = Pod("9a0e7f0c-1111-4222-8333-444455556666", "llm", "server")


class OnePod(Pods):
    """Says that all sockets are one pod's."""

    def __init__(self) -> None:
        """Look at nothing."""

    async def find(self, origins: AbstractSet[Origin]) -> dict[Origin, Pod]:
        return dict.fromkeys(origins, POD)


Row = Mapping[str, object]


def rows(table: HttpWindows | SqlWindows | None, port: int) -> list[Row]:
    """Return the rows of one port; this machine may speak HTTP on others."""
    assert table is not None
    columns = table.model_dump()
    found = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in found if row["service_port"] == port]


@dataclass
class Watch:
    """A source, attached."""

    source: L7Source | Supervised

    async def collect(self) -> Findings:
        return await self.source.collect(Window(start_unix_ms=1_700_000_000_000, length_ms=1000))

    async def until(
        self, port: int, *, requests: int = 0, statements: int = 0, direction: str = "Served"
    ) -> list[Findings]:
        """Collect until so many of them were seen on a port; what is read off a socket shows a moment later."""
        found: list[Findings] = []
        async with asyncio.timeout(30):
            while True:
                found.append(await self.collect())
                http = [row for each in found for row in rows(each.http, port) if row["direction"] == direction]
                sql = [row for each in found for row in rows(each.sql, port) if row["direction"] == direction]
                done = sum(int(str(row["requests"])) for row in http), sum(int(str(row["statements"])) for row in sql)
                if done[0] >= requests and done[1] >= statements:
                    return found
                await asyncio.sleep(0.02)


def needs_bpf() -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching BPF programs needs root")
    if not btf.VMLINUX.exists():
        pytest.skip(f"this kernel has no {btf.VMLINUX}")


def spec(*probes: Probe, templates: Sequence[str] = ("/v1/*",), redact: Sequence[str] = ()) -> TelemetryAgentSpec:
    http = Http(path_templates=list(templates), redact_headers=list(redact))
    return TelemetryAgentSpec(ebpf=Ebpf(probes=list(probes)), http=http)
