"""``tokenflow-agent record`` as a user calls it."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.agent.commands.rows import GPU_PROCESSES
from tests.agent.commands.support import Agent, Reply, batch, serving
from tokenflow_agent.__main__ import main
from tokenflow_agent.commands.recording.reading import read


def test_it_writes_what_the_agent_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = [batch(1), batch(2, gpu_processes=GPU_PROCESSES), batch(5)]
    with serving(Agent(batches).reply) as url:
        assert main(["record", str(tmp_path / "all"), "--url", url, "--duration", "1ms"]) == 0
    assert list(read(tmp_path / "all")) == batches
    assert f"3 windows with 1 rows are in {tmp_path}/all; 2 were missed" in capsys.readouterr().err


def test_one_table_as_parquet(tmp_path: Path) -> None:
    batches = [batch(1), batch(2, gpu_processes=GPU_PROCESSES)]
    file = tmp_path / "gpu.parquet"
    with serving(Agent(batches).reply) as url:
        assert main(["record", str(file), "--table", "gpu_processes", "--url", url, "--duration", "1ms"]) == 0
    assert list(read(file)) == batches[1:]


def test_an_agent_that_never_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Agent().reply) as url:
        pass
    assert main(["record", str(tmp_path / "a.csv"), "--url", url, "--duration", "1ms"]) == 1
    assert "does not answer" in capsys.readouterr().err


async def test_sigterm_ends_the_file_whole(tmp_path: Path) -> None:
    agent = Agent([batch(1, gpu_processes=GPU_PROCESSES)])
    asked_again = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reply(path: str, body: bytes) -> Reply:
        if agent.asked:
            loop.call_soon_threadsafe(asked_again.set)
        return agent.reply(path, body)

    file = tmp_path / "gpu.parquet"
    with serving(reply) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tokenflow_agent", "record", str(file), "--table", "gpu_processes", "--url", url),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            await asked_again.wait()
            process.terminate()
            await process.communicate()
    assert process.returncode == 0
    assert len(list(read(file))) == 1


def test_a_file_that_is_there_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").touch()
    assert main(["record", str(tmp_path / "a.csv")]) == 2
    assert "is there already" in capsys.readouterr().err
