"""What goes wrong on a real node: processes that die, buffers that fill, backends that are refused."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.agent.clock import Clock
from tests.agent.l7.support import OnePod, Watch, needs_bpf, rows, spec
from tokenflow_agent.errors import KernelError, ProbeError
from tokenflow_agent.l7 import source as l7_source
from tokenflow_agent.l7.hooks import Way
from tokenflow_agent.l7.probe import L7Probe, open_probe
from tokenflow_agent.l7.source import L7Source
from tokenflow_agent.retry import FIRST_S, Retry
from tokenflow_agent.sources import Findings
from tokenflow_agent.supervision import PATIENCE, Supervised
from tokenflow_api.telemetry import SignalState
from tokenflow_api.telemetry_agent import Backend, Ebpf, Probe, TelemetryAgentSpec

# Answers "/v1/whole" at once, and everything else with the first half of a response.
SERVER = """
import asyncio
async def answer(reader, writer):
    while request := await reader.readuntil(b"\\r\\n\\r\\n"):
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhello")
        if b"whole" in request:
            writer.write(b"world")
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Yield the port of a server, and its process."""
    command = (sys.executable, "-c", SERVER)
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=quiet)
    assert process.stdout
    try:
        yield int(await process.stdout.readline()), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(port: int, *paths: str) -> asyncio.StreamWriter:
    """Send requests one after the other, and wait for the beginning of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in paths:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"world" if "whole" in path else b"hello")
    return writer


@pytest.mark.bpf
async def test_a_process_that_dies_in_the_middle_leaves_an_aborted_request(watch: Watch) -> None:
    async with serving() as (port, process):
        writer = await ask(port, "/v1/whole", "/v1/half")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        writer.close()
        found = await watch.until(port, requests=2)
    statuses = {row["status"]: row["requests"] for each in found for row in rows(each.http, port)}
    assert statuses == {"2xx": 1, "aborted": 1}


@pytest.mark.bpf
async def test_a_buffer_that_fills_costs_counted_requests_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_bpf()

    async def tiny(way: Way) -> L7Probe:
        return await open_probe(way, ring_bytes=4096)

    monkeypatch.setattr(l7_source, "open_probe", tiny)
    monkeypatch.setattr("tokenflow_agent.l7.reader.GATHER_S", 3600)
    source = L7Source(OnePod())
    await source.follow(spec(Probe.HTTP_LATENCY))
    watch = Watch(source)
    try:
        async with serving() as (port, _):
            writer = await ask(port, *["/v1/whole"] * 100)
            first = await watch.collect()
            writer.close()
            later = first
            async with asyncio.timeout(30):
                # Whatever else speaks HTTP on this machine takes room, too.
                while later.lost["RingFull"] or not requests(later, port):
                    (await ask(port, "/v1/whole")).close()
                    later = await watch.collect()
    finally:
        await source.close()
    seen = requests(first, port)
    assert first.lost["RingFull"] > 0
    assert seen < 200
    assert seen + first.lost["RingFull"] >= 200


def requests(found: Findings, port: int) -> int:
    return sum(int(str(row["requests"])) for row in rows(found.http, port))


@pytest.mark.bpf
async def test_a_probe_that_is_taken_out_reads_no_more_and_one_that_is_put_in_does(watch: Watch) -> None:
    async with serving() as (port, _):
        await watch.source.follow(spec(Probe.SQL_LATENCY))
        (await ask(port, "/v1/whole")).close()
        await watch.source.follow(spec(Probe.HTTP_LATENCY, templates=["/*/whole"], redact=["traceparent"]))
        (await ask(port, "/v1/whole")).close()
        found = await watch.until(port, requests=1)
    assert [row["route"] for each in found for row in rows(each.http, port) if row["direction"] == "Served"] == [
        "/*/whole"
    ]


@pytest.mark.bpf
@pytest.mark.parametrize("backend", [Backend.BTF_TRACEPOINT, Backend.BCC_TRACEPOINT])
async def test_each_backend_sees_requests_and_says_its_name(backend: Backend) -> None:
    needs_bpf()
    source = L7Source(OnePod())
    await source.follow(TelemetryAgentSpec(ebpf=Ebpf(backend=backend, probes=[Probe.HTTP_LATENCY])))
    try:
        assert [(signal.name, signal.backend) for signal in source.signals()] == [("HTTPLatency", backend)]
        async with serving() as (port, _):
            (await ask(port, "/v1/whole")).close()
            await Watch(source).until(port, requests=1)
    finally:
        await source.close()


async def test_a_backend_that_cannot_read_http_says_what_to_write() -> None:
    source = L7Source(OnePod())
    await source.follow(TelemetryAgentSpec(ebpf=Ebpf(backend=Backend.PROC, probes=[Probe.HTTP_LATENCY])))
    (signal_,) = source.signals()
    assert (signal_.state, signal_.reason) == (SignalState.DEGRADED, "BackendUnsuitable")
    assert "spec.ebpf.backend: Auto" in signal_.message


@pytest.mark.parametrize(
    ("reason", "tried"),
    [
        ("TracepointMissing", [Way.SOCKETS, Way.CALLS]),
        ("ProgramRefused", [Way.SOCKETS, Way.CALLS]),
        ("CompileTimeout", [Way.SOCKETS]),
        ("CompilerFailed", [Way.SOCKETS]),
    ],
)
async def test_all_system_calls_are_watched_only_where_the_kernel_has_no_better_way(
    monkeypatch: pytest.MonkeyPatch, reason: str, tried: list[Way]
) -> None:
    ways: list[Way] = []

    async def refused(way: Way) -> L7Probe:
        ways.append(way)
        raise ProbeError(reason, "it is not to be")

    monkeypatch.setattr(l7_source, "open_probe", refused)
    source = L7Source(OnePod())
    await source.follow(TelemetryAgentSpec(ebpf=Ebpf(backend=Backend.BTF_TRACEPOINT, probes=[Probe.HTTP_LATENCY])))
    assert ways == tried
    assert [signal_.reason for signal_ in source.signals()] == [reason]


@pytest.mark.bpf
async def test_a_fault_that_stops_the_reading_is_over_once_the_source_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_bpf()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    clock = Clock()
    wanted = spec(Probe.HTTP_LATENCY)
    source = Supervised(lambda: L7Source(OnePod()), retry=Retry(clock=clock))
    watch = Watch(source)
    try:
        async with serving() as (port, _):
            with monkeypatch.context() as meanwhile:
                meanwhile.setattr(L7Probe, "counts", broken)
                await source.follow(wanted)
                for _ in range(PATIENCE):
                    await watch.collect()
            (signal_,) = source.signals()
            assert (signal_.state, signal_.reason) == (SignalState.DEGRADED, "SourceFailed")
            assert "ZeroDivisionError: by nothing" in signal_.message
            await source.follow(wanted)
            assert source.restarts == 0
            clock.now = FIRST_S
            await source.follow(wanted)
            (await ask(port, "/v1/whole")).close()
            await watch.until(port, requests=1)
        assert [signal_.state for signal_ in source.signals()] == [SignalState.ACTIVE]
        assert source.restarts == 1
    finally:
        await source.close()


@pytest.mark.bpf
async def test_a_kernel_without_uprobes_costs_tls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_bpf()

    def refused(*_: object) -> list[int]:
        raise KernelError("NoUprobes", "this kernel has no uprobes")

    monkeypatch.setattr(L7Probe, "hook", refused)
    source = L7Source(OnePod())
    await source.follow(spec(Probe.HTTP_LATENCY, Probe.TLS_LATENCY))
    try:
        async with asyncio.timeout(60):
            while source.signals()[1].state is SignalState.ACTIVE:  # noqa: ASYNC110 - it looks every other second
                await asyncio.sleep(0.05)
        http, tls = source.signals()
        assert http.state is SignalState.ACTIVE
        assert (tls.name, tls.reason) == ("TLSLatency", "NoUprobes")
        async with serving() as (port, _):
            (await ask(port, "/v1/whole")).close()
            await Watch(source).until(port, requests=1)
    finally:
        await source.close()
