"""The agent as a process of its own."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CONFIG = {"namespace": "default", "name": "nodes", "generation": 1, "spec": {"gpu": {"mode": "Required"}}, "ingest": []}


@asynccontextmanager
async def running(tmp_path: Path, port: int, *before: str) -> AsyncIterator[asyncio.subprocess.Process]:
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(CONFIG))
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-m", "tokenflow_agent", "--config-file", str(file), "--port", str(port)),
        *("--cgroup-root", "/sys/fs/cgroup", "--pod-logs", str(tmp_path), "--node", "n1", "--log-level", "Error"),
        *("--token-file", str(tmp_path / "token"), "--spool-dir", str(tmp_path / "spool")),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def signals(port: int) -> dict[str, Any]:
    """Return the signals by name as soon as each has been tried."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    seen = {entry["name"]: entry for entry in (await answer.json())["signals"]}
            except aiohttp.ClientError:
                seen = {}
            if seen and all(entry["reason"] != "Starting" for entry in seen.values()):
                return seen
            await asyncio.sleep(0.1)


@pytest.mark.bpf
async def test_a_node_that_refuses_bpf_takes_away_that_signal_only(tmp_path: Path, unused_tcp_port: int) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("dropping capabilities needs root and setpriv")
    async with running(tmp_path, unused_tcp_port, "setpriv", "--bounding-set=-all", "--inh-caps=-all") as process:
        seen = await signals(unused_tcp_port)
        assert seen["TCPRoundTripTime"]["state"] == "Degraded"
        assert seen["TCPRoundTripTime"]["reason"] == "BPFNotPermitted"
        assert "capabilities BPF and PERFMON" in seen["TCPRoundTripTime"]["message"]
        assert process.returncode is None


@pytest.mark.bpf
async def test_it_measures_and_leaves_on_sigterm(tmp_path: Path, unused_tcp_port: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("attaching BPF programs needs root")
    async with running(tmp_path, unused_tcp_port) as process:
        seen = await signals(unused_tcp_port)
        assert seen["TCPRoundTripTime"]["state"] == "Active"
        assert seen["GPU"]["state"] == "Degraded"
        assert "install the NVIDIA driver" in seen["GPU"]["message"]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_bad_config_is_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenflow_agent", "--config-file", str(tmp_path / "none.json")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, words = await process.communicate()
    assert process.returncode == 1
    assert "none.json cannot be read" in words.decode()
