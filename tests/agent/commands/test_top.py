"""``tokenflow-agent top`` as a user sees it."""

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from tests.agent.commands.rows import rows
from tests.agent.commands.support import Agent, Reply, batch, serving
from tokenflow_agent.__main__ import main
from tokenflow_agent.commands.grammar import COLUMNS
from tokenflow_agent.commands.pods import PodRow
from tokenflow_agent.commands.screen import FIGURES, duration, ordered, size
from tokenflow_api.telemetry import Signal, SignalState

POD = {"pod_namespace": "llm", "pod_name": "vllm-0"}
OTHER = {"pod_namespace": "web", "pod_name": "shop-[red]1"}
WINDOW = batch(
    1,
    tcp=rows(
        "tcp",
        {**POD, "samples": 9, "rtt_p50_us": 850, "rtt_p95_us": 12_300, "retransmits": 3},
        {**OTHER, "samples": 9, "rtt_p50_us": 90, "rtt_p95_us": 1_200_000},
    ),
    listen=rows("listen", {**POD, "backlog": 3, "backlog_limit": 128}),
    http=rows("http", {**POD, "requests": 8, "status": "2xx", "latency_p95_us": 45_000}),
    gpu=rows("gpu", {"uuid": "a", "utilization_percent": 97}),
    gpu_processes=rows("gpu_processes", {**POD, "uuid": "a", "memory_used_bytes": 40 << 30}),
    signals=[
        Signal(name="TCPRoundTripTime", backend="BTFTracepoint", state=SignalState.ACTIVE),
        Signal(name="HTTPLatency", state=SignalState.DEGRADED, reason="BPFNotPermitted", message="allow BPF"),
    ],
)


def shown(capsys: pytest.CaptureFixture[str], *flags: str) -> list[str]:
    with serving(Agent([WINDOW]).reply) as url:
        assert main(["top", "--once", "--url", url, *flags]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_one_plain_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == [
        "n1, pods: 2",
        "NAMESPACE POD RTT-P50 RTT-P95 RETRANS/S BACKLOG HTTP-P95 ERRORS GPU-MEM GPU",
        "web shop-[red]1 90µs 1.20s 0.0 - - - - -",
        "llm vllm-0 850µs 12.3ms 3.0 3/128 45.0ms 0.0% 40.0GiB 97%",
        "HTTPLatency is not read: BPFNotPermitted: allow BPF",
    ]


def test_one_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line.split()[0] for line in shown(capsys, "--namespace", "llm")][2:] == ["llm", "HTTPLatency"]


@pytest.mark.parametrize("column", COLUMNS)
def test_the_unknown_comes_last(column: str) -> None:
    named = [PodRow(namespace="a", pod="none"), PodRow(namespace="b", pod="none")]
    known = [
        PodRow(
            namespace="c",
            pod=str(value),
            rtt_p50_us=value,
            rtt_p95_us=value,
            retransmits_per_second=value,
            backlog=value,
            backlog_limit=9,
            http_p95_us=value,
            error_ratio=value / 9,
            gpu_memory_bytes=value,
            gpu_utilization_percent=value,
        )
        for value in (0, 2, 1)
    ]
    seen = [(row.namespace, row.pod) for row in ordered([*named, *known], column)]
    by_name = [("a", "none"), ("b", "none"), ("c", "0"), ("c", "1"), ("c", "2")]
    by_value = [("c", "2"), ("c", "1"), ("c", "0"), ("a", "none"), ("b", "none")]
    assert seen == (by_name if column == "pod" else by_value)


def test_every_column_can_be_sorted_by() -> None:
    assert ("pod", *(figure.name for figure in FIGURES)) == COLUMNS


def test_units_suit_the_value() -> None:
    assert [duration(us) for us in (0, 999, 1000, 999_900, 1_000_000)] == [
        "0µs",
        "999µs",
        "1.0ms",
        "999.9ms",
        "1.00s",
    ]
    assert [size(count) for count in (0, 3 << 20, 1 << 30)] == ["0MiB", "3MiB", "1.0GiB"]


def test_once_without_an_agent_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _, __: Reply(404)) as url:
        assert main(["top", "--once", "--url", url]) == 1
    assert "is this the port of an agent?" in capsys.readouterr().err


async def test_ctrl_c_leaves_the_terminal_as_it_was() -> None:
    ours, theirs = pty.openpty()
    agent = Agent([WINDOW])
    with serving(agent.reply) as url, os.fdopen(ours, "rb", buffering=0) as screen:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tokenflow_agent", "top", "--url", url),
            stdout=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
        )
        os.close(theirs)
        seen = b""
        async with asyncio.timeout(60):
            while b"vllm-0" not in seen:
                seen += await asyncio.to_thread(screen.read, 4096)
            process.send_signal(signal.SIGINT)
            await process.wait()
        after = await asyncio.to_thread(screen.read, 65536)
    assert process.returncode == 0
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?1049l" in after
    assert b"\x1b[?25h" in after


async def test_a_pipe_gets_plain_tables_and_the_trouble(tmp_path: Path) -> None:
    replies = iter([Agent([WINDOW]).reply("/windows?after=0", b""), Reply(503)])
    out = tmp_path / "out"
    with serving(lambda _, __: next(replies, Reply(503))) as url, out.open("wb") as pipe:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tokenflow_agent", "top", "--url", url, "--interval", "50ms"), stdout=pipe
        )
        async with asyncio.timeout(60):
            while b"answered 503" not in out.read_bytes():  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.05)
            process.terminate()
            assert await process.wait() == 0
    text = out.read_text()
    assert "\x1b" not in text
    assert text.count("vllm-0") >= 2
