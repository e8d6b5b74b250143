"""All figures of the agent, from what its windows brought."""

from collections.abc import Iterator, Sequence
from typing import Final

from tokenflow_agent.export import gpus, network, requests
from tokenflow_agent.export.model import Family
from tokenflow_agent.export.own import OwnFigures
from tokenflow_agent.export.series import Node
from tokenflow_agent.sources import Findings
from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_api.windows import GpuProcesses, GpuSamples

SHOWN_S: Final = 15.0
"""How long a gauge is shown after the last window that had it.

Scrapers come every 15 s or so: the very last second alone would hide most pods from them, and more would show
what is over.
"""
_READINGS: Final = 3


class Figures:
    """The metrics of this agent.

    Args:
        node: tells the time, and which pods live.
    """

    def __init__(self, node: Node) -> None:
        self.own = OwnFigures()
        self._clock = node.clock
        self._connections = network.connections(node)
        self._accept_queues = network.accept_queues(node)
        self._http = requests.http(node)
        self._sql = requests.sql(node)
        self._gpus = gpus.gpus(node)
        self._gpu_pods = gpus.pods_memory(node)
        self._throttled = GpuSamples()
        self._throttled_until = 0.0

    def show(self, batch: TelemetryBatch, found: Sequence[Findings], *, gpu_interval_s: float) -> None:
        """Take in a window.

        Args:
            batch: as it is delivered.
            found: what it was made of.
            gpu_interval_s: time between two readings of the GPUs.
        """
        shown_s = max(SHOWN_S, 2 * batch.window_ms / 1000)
        for table, rows in (
            (self._connections, batch.tcp),
            (self._accept_queues, batch.listen),
            (self._http, batch.http),
            (self._sql, batch.sql),
        ):
            table.add(rows, valid_s=shown_s)
        for each in found:
            for exemplar in each.exemplars:
                requests.attach(exemplar, batch.http, self._http, at_s=batch.sent_at_unix_ms / 1000)
            if each.gpu is not None:
                self._read(
                    each.gpu, each.gpu_processes or GpuProcesses(), valid_s=max(shown_s, _READINGS * gpu_interval_s)
                )
        self.own.add(batch.cost, found, window_ms=batch.window_ms)

    def families(self) -> Iterator[Family]:
        """Yield the metrics of pods and GPUs."""
        yield from self._connections.families()
        yield from self._accept_queues.families()
        yield from self._http.families()
        yield from self._sql.families()
        yield from self._gpus.families()
        yield from self._gpu_pods.families()
        if self._clock() < self._throttled_until:
            yield gpus.throttled(self._throttled)

    def _read(self, samples: GpuSamples, processes: GpuProcesses, *, valid_s: float) -> None:
        """Take in a reading of the GPUs: those that it lacks are gone at once."""
        self._gpus.replace(samples, valid_s=valid_s)
        self._gpu_pods.replace(processes, valid_s=valid_s)
        self._throttled, self._throttled_until = samples, self._clock() + valid_s
