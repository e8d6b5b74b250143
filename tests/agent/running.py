"""The agent as a process of its own, and what it says on its port."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

TIMEOUT_S = 120.0


@dataclass
class RunningAgent:
    """A process, and where it works."""

    process: asyncio.subprocess.Process
    port: int
    directory: Path

    async def get(self, path: str, **headers: str) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer,
        ):
            return await answer.text()

    async def until(self, path: str, true: Callable[[Any], bool]) -> Any:
        """Return what the page says as soon as it is as wanted."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                try:
                    text = await self.get(path)
                except aiohttp.ClientError:
                    text = ""
                said = json.loads(text) if text.startswith("{") else text
                if said and true(said):
                    return said
                await asyncio.sleep(0.1)

    async def built(self, windows: int) -> int:
        """Wait until so many windows are built; return the sequence of the last one."""
        said = await self.until("/windows", lambda said: any(b["sequence"] >= windows for b in said["batches"]))
        return int(said["batches"][-1]["sequence"])

    def configure(self, **config: Any) -> None:
        configure(self.directory, **config)

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024


def configure(directory: Path, *, generation: int = 1, ingest: dict[str, str] | None = None, **spec: Any) -> None:
    """Write the agent's config as the operator does."""
    addresses = [{"policy": policy, "url": url} for policy, url in (ingest or {}).items()]
    config = {"namespace": "default", "name": "nodes", "generation": generation, "spec": spec, "ingest": addresses}
    draft = directory / "agent.json.new"
    draft.write_text(json.dumps(config))
    draft.replace(directory / "agent.json")


@asynccontextmanager
async def running(
    directory: Path, port: int, *before: str, module: str = "tokenflow_agent"
) -> AsyncIterator[RunningAgent]:
    """Run the agent by ``directory``'s config; ``before`` is what the command line begins with."""
    with (directory / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(*before, sys.executable, "-m", module, "--config-file", str(directory / "agent.json")),
            *("--port", str(port), "--cgroup-root", "/sys/fs/cgroup", "--pod-logs", str(directory), "--node", "n1"),
            *("--token-file", str(directory / "token"), "--spool-dir", str(directory / "spool")),
            stderr=log,
        )
    try:
        yield RunningAgent(process, port, directory)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
