"""The agent as a process of its own, and what it costs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from prometheus_client.parser import text_string_to_metric_families

from e2e.bench.agent.site import URGENT, Site
from e2e.bench.errors import BenchError
from e2e.bench.proc import free_port, memory_bytes, processor_s
from tokenflow_agent.kernel.bpf import enable_statistics
from tokenflow_api.telemetry import AgentConfig, IngestAddress
from tokenflow_api.telemetry_agent import Probe, TelemetryAgentSpec

TCP_PROBES: Final = (Probe.TCP_ROUND_TRIP_TIME, Probe.TCP_RETRANSMIT, Probe.LISTEN_BACKLOG)
ALL_PROBES: Final = tuple(Probe)
_ATTACHED_S: Final = 60.0
_END_S: Final = 15.0
_PROC: Final = Path("/proc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What the agent has cost since it started.

    Attributes:
        process_s: processor time of its process.
        programs_s: processor time of its programs in the kernel.
        program_runs: how often they ran.
        resident_bytes: its memory now.
        at: monotonic time.
    """

    process_s: float
    programs_s: float
    program_runs: int
    resident_bytes: int
    at: float


@dataclass(kw_only=True, slots=True)
class AgentProcess:
    """A running agent."""

    site: Site
    process: subprocess.Popen[bytes]
    port: int
    config: AgentConfig
    compiler_peak_bytes: int = field(default=0)

    def probe(self, probes: Sequence[Probe]) -> Self:
        """Have other signals read, by a new generation of the config, and wait until they are.

        Raises:
            BenchError: they are not read.
        """
        spec = self.config.spec.model_copy(
            update={"ebpf": self.config.spec.ebpf.model_copy(update={"probes": list(probes)})}
        )
        self.config = self.config.model_copy(update={"generation": self.config.generation + 1, "spec": spec})
        _write(self.site, self.config)
        self.wait(probes)
        return self

    def wait(self, probes: Sequence[Probe]) -> None:
        """Wait until exactly ``probes`` are attached.

        Raises:
            BenchError: one is not read, or the agent has ended.
        """
        deadline = time.monotonic() + _ATTACHED_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"the agent ended ({self.process.returncode}): read {self.site.scratch}/agent.log")
            self.compiler_peak_bytes = max(self.compiler_peak_bytes, *_peaks_of_children(self.process.pid), 0)
            read = {one["name"]: one for one in self.signals() if one["name"] in set(Probe)}
            if set(read) == set(probes) and all(one["backend"] for one in read.values()):
                return
            time.sleep(0.02)
        raise BenchError(f"after {_ATTACHED_S:.0f} s the agent does not read {', '.join(probes)}: {self.signals()}")

    def signals(self) -> list[dict[str, Any]]:
        """Return the state of each signal; none while the agent starts."""
        try:
            signals: list[dict[str, Any]] = json.loads(_get(self.port, "/readyz"))["signals"]
        except OSError:
            return []
        return signals

    def samples(self, name: str, **labels: str) -> list[float]:
        """Return the values of a metric's series that carry ``labels``."""
        return [
            sample.value
            for family in text_string_to_metric_families(_get(self.port, "/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def cost(self) -> Cost:
        """Return what it has cost until now."""
        programs = list(_programs(self.process.pid))
        return Cost(
            process_s=processor_s(self.process.pid),
            programs_s=sum(nanoseconds for nanoseconds, _ in programs) / 1e9,
            program_runs=sum(runs for _, runs in programs),
            resident_bytes=memory_bytes(self.process.pid, "VmRSS"),
            at=time.monotonic(),
        )

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(_END_S)


@contextmanager
def agent(
    site: Site,
    *,
    probes: Sequence[Probe],
    ingest: Sequence[str] = (),
    statistics: bool = False,
    urgent: bool = False,
) -> Iterator[AgentProcess]:
    """Run an agent that measures the site, until the block is left.

    Args:
        site: where the pods are.
        probes: what it reads.
        ingest: base URLs of hint services.
        statistics: whether the kernel counts the run time of programs, which costs a little itself.
        urgent: whether it competes with pinned loads as an equal.

    Raises:
        BenchError: it does not get to read what it should.
    """
    config = AgentConfig(
        namespace="bench",
        name="nodes",
        generation=1,
        spec=TelemetryAgentSpec.model_validate({"ebpf": {"probes": list(probes)}}),
        ingest=[IngestAddress(policy=f"p{number}", url=url) for number, url in enumerate(ingest)],
    )
    _write(site, config)
    (site.scratch / "token").write_text("bench")
    with contextlib.ExitStack() as stack:
        if statistics:
            stack.callback(os.close, enable_statistics())
        log = stack.enter_context((site.scratch / "agent.log").open("ab"))
        port = free_port()
        process = stack.enter_context(
            subprocess.Popen([*(URGENT if urgent else ()), *_command(site, port)], stderr=log)
        )
        try:
            running = AgentProcess(site=site, process=process, port=port, config=config)
            running.wait(probes)
            yield running
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _command(site: Site, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "tokenflow_agent", "--node", "bench", "--port", str(port)),
        *("--config-file", str(site.scratch / "agent.json"), "--token-file", str(site.scratch / "token")),
        *("--cgroup-root", str(site.cgroup_root), "--pod-logs", str(site.pod_logs)),
        *("--spool-dir", str(site.scratch / "spool")),
    ]


def _write(site: Site, config: AgentConfig) -> None:
    new = site.scratch / "agent.json.new"
    new.write_text(config.model_dump_json(exclude_none=True))
    new.rename(site.scratch / "agent.json")


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5.0) as answer:
        words: str = answer.read().decode()
    return words


def _programs(pid: int) -> Iterator[tuple[int, int]]:
    """Yield the run time, in nanoseconds, and the runs of each BPF program that a process holds."""
    seen = set()
    for file in (_PROC / f"{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
            if "run_time_ns" in fields and fields["prog_id"] not in seen:
                seen.add(fields["prog_id"])
                yield int(fields["run_time_ns"]), int(fields["run_cnt"])


def _peaks_of_children(pid: int) -> Iterator[int]:
    for file in (_PROC / f"{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                yield memory_bytes(int(child), "VmHWM")
