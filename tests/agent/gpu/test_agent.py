"""The whole agent on a node with GPUs, as a process of its own."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.agent.gpu.support import H100, Node

SPEC = {"gpu": {"mode": "Auto", "interval": "1s"}, "ebpf": {"backend": "Kprobe", "probes": ["TCPRetransmit"]}}
CONFIG = {"namespace": "default", "name": "nodes", "generation": 1, "spec": SPEC, "ingest": []}


@asynccontextmanager
async def running(node: Node, library: str, tmp_path: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(CONFIG))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenflow_agent", "--config-file", str(file), "--port", str(port)),
        *("--cgroup-root", "/sys/fs/cgroup", "--pod-logs", str(node.logs), "--node", "n1", "--log-level", "Error"),
        *("--token-file", str(tmp_path / "token")),
        env=os.environ | {"LD_LIBRARY_PATH": str(Path(library).parent)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


async def gpu(port: int, *, state: str, reason: str = "") -> dict[str, Any]:
    """Return the GPUs' signal as soon as it is so."""
    async with asyncio.timeout(120):
        while True:
            body = await asyncio.to_thread(get, port, "/readyz")
            signals = json.loads(body)["signals"] if body else []
            found = [entry for entry in signals if entry["name"] == "GPU"]
            if found and (found[0]["state"], found[0]["reason"]) == (state, reason):
                return found[0]
            await asyncio.sleep(0.1)


async def test_a_driver_that_hangs_takes_away_its_signal_and_nothing_else(
    node: Node, stub: Callable[..., str], tmp_path: Path, unused_tcp_port: int
) -> None:
    both = (f"gpu {H100}", "gpu uuid=GPU-b")
    node.set(*both)
    async with running(node, stub(), tmp_path, unused_tcp_port) as process:
        await gpu(unused_tcp_port, state="Active")
        node.set("gpu uuid=GPU-a lost=1", "gpu uuid=GPU-b")
        told = await gpu(unused_tcp_port, state="Degraded", reason="GPULost")
        assert told["message"].startswith("GPU 0 (GPU-a): ")
        node.set(*both, "hang call=nvmlDeviceGetPowerUsage")
        await gpu(unused_tcp_port, state="Degraded", reason="NVMLTimeout")
        assert await asyncio.to_thread(get, unused_tcp_port, "/healthz")
        node.set(*both)
        await gpu(unused_tcp_port, state="Active")
        node.set(*both, "hang call=nvmlDeviceGetName")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_a_driver_that_is_installed_later_is_found(
    node: Node, stub: Callable[..., str], tmp_path: Path, unused_tcp_port: int
) -> None:
    node.set(f"gpu {H100}")
    library = tmp_path / "driver" / "libnvidia-ml.so.1"
    library.parent.mkdir()
    async with running(node, str(library), tmp_path, unused_tcp_port):
        await gpu(unused_tcp_port, state="Off", reason="NVMLLibraryNotFound")
        library.symlink_to(stub())
        await gpu(unused_tcp_port, state="Active")


async def test_the_figures_reach_prometheus(
    node: Node, stub: Callable[..., str], tmp_path: Path, unused_tcp_port: int
) -> None:
    node.set(f"gpu {H100}")
    async with running(node, stub(), tmp_path, unused_tcp_port):
        await gpu(unused_tcp_port, state="Active")
        metrics = await asyncio.to_thread(get, unused_tcp_port, "/metrics")
    [line] = [line for line in metrics.splitlines() if line.startswith("gpu_utilization_percent{")]
    assert 'uuid="GPU-a"' in line
    assert float(line.split()[-1]) == 87
