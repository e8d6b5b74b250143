"""Accept queues and connections on nodes that refuse something, each in a process of its own."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

_READ = """
import asyncio, json, sys
from pathlib import Path
from tokenflow_agent.identity import Pods
from tokenflow_agent.listen.source import ListenSource
from tokenflow_agent.sources import Window
from tokenflow_agent.tcp.source import TcpSource
from tokenflow_api.telemetry_agent import Ebpf, Probe, TelemetryAgentSpec

async def main():
    pods = Pods(cgroup_root=Path("/sys/fs/cgroup"), log_root=Path(sys.argv[1]))
    probes = [Probe.LISTEN_BACKLOG, Probe.TCP_ROUND_TRIP_TIME, Probe.TCP_RETRANSMIT]
    told = {}
    for source in (ListenSource(pods), TcpSource(pods)):
        await source.follow(TelemetryAgentSpec(ebpf=Ebpf(probes=probes)))
        await source.collect(Window(start_unix_ms=5, length_ms=1000))
        told |= {signal.name: signal.model_dump(mode="json") for signal in source.signals()}
        await source.close()
    print(json.dumps(told))

asyncio.run(main())
"""


async def signals(tmp_path: Path, *before: str) -> dict[str, Any]:
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("taking something away needs root, setpriv and unshare")
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-c", _READ, str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    words, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(words)
    return told


def hiding(directory: str) -> tuple[str, ...]:
    return "unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {directory} && exec "$@"', "sh"


@pytest.mark.bpf
@pytest.mark.netns
async def test_without_any_capability_every_refusal_is_told(tmp_path: Path) -> None:
    told = await signals(tmp_path, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    for name in ("ListenBacklog", "TCPRoundTripTime", "TCPRetransmit"):
        assert (told[name]["state"], told[name]["backend"]) == ("Degraded", "")
        assert told[name]["reason"] == "BPFNotPermitted"
        for words in (
            "BTFTracepoint:",
            "allow the capabilities BPF and PERFMON",
            "SockDiag:",
            "SYS_ADMIN",
            "SYS_PTRACE",
        ):
            assert words in told[name]["message"]


@pytest.mark.bpf
@pytest.mark.netns
async def test_with_the_view_of_processes_alone_proc_is_read(network: Any, tmp_path: Path) -> None:
    del network  # a namespace to see besides this one
    told = await signals(tmp_path, "setpriv", "--bounding-set=-all,+sys_ptrace", "--inh-caps=-all")
    for name in ("ListenBacklog", "TCPRetransmit"):
        assert (told[name]["state"], told[name]["backend"]) == ("Degraded", "Proc")
        assert told[name]["reason"] == "BPFNotPermitted"
    assert told["TCPRoundTripTime"]["backend"] == ""


@pytest.mark.bpf
@pytest.mark.netns
async def test_without_type_information_sock_diag_is_asked(tmp_path: Path) -> None:
    told = await signals(tmp_path, *hiding("/sys/kernel/btf"))
    for name in ("ListenBacklog", "TCPRoundTripTime", "TCPRetransmit"):
        assert (told[name]["state"], told[name]["backend"]) == ("Degraded", "SockDiag")
        assert told[name]["reason"] == "BTFMissing"
        assert "CONFIG_DEBUG_INFO_BTF=y" in told[name]["message"]


@pytest.mark.bpf
@pytest.mark.netns
async def test_without_tracefs_nothing_is_missing(tmp_path: Path) -> None:
    told = await signals(tmp_path, *hiding("/sys/kernel/tracing"))
    for name in ("ListenBacklog", "TCPRoundTripTime", "TCPRetransmit"):
        assert (told[name]["state"], told[name]["backend"]) == ("Active", "BTFTracepoint")
