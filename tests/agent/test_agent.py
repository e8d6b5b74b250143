"""The agent as a whole."""

import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.agent.delivery.hint_service import HintService, serving
from tests.agent.running import TIMEOUT_S, RunningAgent, configure, running
from tokenflow_api.telemetry import AgentConfig
from tokenflow_api.telemetry_agent import TelemetryAgentSpec


async def signals(agent: RunningAgent) -> dict[str, Any]:
    """Return the signals by name as soon as each has been tried."""

    def by_name(said: Any) -> dict[str, Any]:
        return {entry["name"]: entry for entry in said["signals"]}

    def tried(said: Any) -> bool:
        seen = by_name(said)
        return "Starting" not in (seen["GPU"]["reason"], seen["TCPRoundTripTime"]["reason"])

    return by_name(await agent.until("/readyz", tried))


@pytest.mark.bpf
async def test_a_node_that_refuses_bpf_takes_away_that_signal_only(tmp_path: Path, unused_tcp_port: int) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("dropping capabilities needs root and setpriv")
    configure(tmp_path)
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    async with running(tmp_path, unused_tcp_port, *without) as agent:
        seen = await signals(agent)
        assert seen["TCPRoundTripTime"]["state"] == "Degraded"
        assert seen["TCPRoundTripTime"]["reason"] == "BPFNotPermitted"
        assert "capabilities BPF and PERFMON" in seen["TCPRoundTripTime"]["message"]
        assert agent.process.returncode is None


@pytest.mark.bpf
async def test_it_measures_and_leaves_on_sigterm(tmp_path: Path, unused_tcp_port: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching BPF programs needs root")
    configure(tmp_path, gpu={"mode": "Required"})
    async with running(tmp_path, unused_tcp_port) as agent:
        seen = await signals(agent)
        assert seen["TCPRoundTripTime"]["state"] == "Active"
        assert seen["GPU"]["state"] == "Degraded"
        assert "install the NVIDIA driver" in seen["GPU"]["message"]
        agent.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(agent.process.wait(), TIMEOUT_S) == 0


@pytest.mark.bpf
async def test_programs_that_did_not_load_at_first_are_loaded_once_they_can_be(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching BPF programs needs root")
    in_the_way = tmp_path / "modules" / "bcc.py"
    in_the_way.parent.mkdir()
    in_the_way.write_text("raise ImportError('not yet')")
    monkeypatch.setenv("PYTHONPATH", str(in_the_way.parent))
    configure(tmp_path, ebpf={"probes": ["HTTPLatency"]}, gpu={"mode": "Off"})

    async with running(tmp_path, unused_tcp_port) as agent:

        async def http(state: str, reason: str) -> None:
            wanted = {"name": "HTTPLatency", "state": state, "reason": reason}
            await agent.until("/readyz", lambda said: any(wanted.items() <= each.items() for each in said["signals"]))

        await http("Degraded", "BCCMissing")
        await agent.until("/metrics", lambda said: restarts(said) >= 2)
        in_the_way.unlink()
        await http("Active", "")
        assert restarts(await agent.get("/metrics")) >= 3


def restarts(metrics: str) -> float:
    """Return how often the L7 source was begun anew."""
    name = 'tokenflow_agent_source_restarts_total{source="L7Source"}'
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))


async def test_a_bad_config_is_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenflow_agent", "--config-file", str(tmp_path / "none.json")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, words = await process.communicate()
    assert process.returncode == 1
    assert "none.json cannot be read" in words.decode()


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    configure(tmp_path)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        async with running(tmp_path, port) as agent:
            assert await asyncio.wait_for(agent.process.wait(), TIMEOUT_S) == 1
    words = (tmp_path / "log").read_text()
    assert f"tokenflow-agent: port {port} cannot be served" in words
    assert "Traceback" not in words


def test_what_only_commands_need_is_not_loaded() -> None:
    program = "import sys, tokenflow_agent.commands.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiohttp", "bcc", "http.client", "prometheus_client", "pyarrow", "pynvml", "rich"} & set(loaded)


@pytest.mark.parametrize("module", ["tokenflow_agent", "tests.agent.crowd"], ids=["few pods", "300 pods"])
async def test_it_stays_small(tmp_path: Path, unused_tcp_port: int, module: str) -> None:
    probes = ["TCPRoundTripTime", "TCPRetransmit", "ListenBacklog", "HTTPLatency", "TLSLatency", "SQLLatency"]
    async with serving(HintService()) as url:
        configure(tmp_path, ingest={"a": url, "b": url}, ebpf={"probes": probes})
        async with running(tmp_path, unused_tcp_port, module=module) as agent:
            held = []
            for windows in range(12, 17):
                # Not by /windows, which unpacks all that there are.
                await agent.until("/readyz", lambda said, windows=windows: _sent(said) >= windows)
                await agent.get("/metrics", Accept="application/openmetrics-text")
                held.append(agent.resident_mib())
            # A reading may fall between the making of a window and its sending, when it is held twice. The benchmark
            # judges the goal of 40: here, the agent watches whatever else this machine runs.
            assert statistics.median(held) < 50


async def test_nothing_is_lost_through_an_outage_and_a_kill(tmp_path: Path, unused_tcp_port: int) -> None:
    service = HintService()
    async with serving(service) as url:
        configure(tmp_path, ingest={"demo": url})
        async with running(tmp_path, unused_tcp_port) as agent:
            await agent.built(2)
            service.away = True
            last = await agent.built(6)
            agent.process.kill()
            await agent.process.wait()
        async with running(tmp_path, unused_tcp_port) as agent:
            await agent.built(1)
            service.away = False
            await agent.until("/readyz", lambda said: _sent(said) >= 6)
            agent.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(agent.process.wait(), TIMEOUT_S) == 0
    boots = list(dict.fromkeys(boot for boot, _ in service.got))
    assert len(boots) == 2
    for boot in boots:
        sequences = list(dict.fromkeys(sequence for known, sequence in service.got if known == boot))
        assert sequences == list(range(1, len(sequences) + 1))
    assert service.got.index((boots[0], last)) < service.got.index((boots[1], 1))


def _sent(said: Any) -> int:
    return sum(each["outcomes"].get("sent", 0) for each in said["deliveries"])


async def test_a_directory_that_cannot_be_written_is_told_and_costs_no_window(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    service = HintService()
    (tmp_path / "spool").write_text("in the way")
    async with serving(service) as url:
        configure(tmp_path, ingest={"demo": url})
        async with running(tmp_path, unused_tcp_port) as agent:
            said = await agent.until("/readyz", lambda said: _sent(said) >= 2)
            (told,) = [entry for entry in said["signals"] if entry["name"] == "Spool"]
            assert (told["state"], told["reason"]) == ("Degraded", "DiskFailed")
            assert "--spool-dir" in told["message"]
            (tmp_path / "spool").unlink()
            await agent.until("/readyz", lambda said: not said["spool"]["reason"])
    assert service.sequences[:2] == [1, 2]


async def test_settings_come_back_in_the_reply_and_are_applied_live(tmp_path: Path, unused_tcp_port: int) -> None:
    pushed = asyncio.Event()

    async def take(_: web.Request) -> web.Response:
        pushed.set()
        return web.json_response({})

    service = HintService()
    async with serving(service, ("/v1/metrics", take)) as url:
        configure(tmp_path, ingest={"demo": url}, observability={"logLevel": "Error"})
        async with running(tmp_path, unused_tcp_port) as agent:
            await agent.built(1)
            spec = TelemetryAgentSpec.model_validate(
                {
                    "interval": "2s",
                    "ebpf": {"probes": ["TCPRetransmit"]},
                    "gpu": {"mode": "Off"},
                    "observability": {"logLevel": "Debug", "otlpEndpoint": url},
                }
            )
            service.config = AgentConfig(
                namespace="default",
                name="nodes",
                generation=2,
                spec=spec,
                ingest=[{"policy": "demo", "url": url}],
            )
            said = await agent.until("/windows", lambda said: said["batches"][-1]["window_ms"] == 2000)
            names = {entry["name"]: entry["reason"] for entry in said["batches"][-1]["signals"]}
            assert "TCPRoundTripTime" not in names
            assert names["GPU"] == "Disabled"
            assert said["batches"][-1]["clock_error_ms"] is not None
            await asyncio.wait_for(pushed.wait(), 90)
        levels = {line["level"] for line in _log(tmp_path)}
        assert "debug" in levels


def _log(directory: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, (directory / "log").read_text().splitlines())
