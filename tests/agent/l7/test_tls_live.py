"""HTTPS over loopback, seen by the running kernel in the processes' own libssl."""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.agent.l7.support import OnePod, Watch, needs_bpf, rows, spec
from tokenflow_agent.l7.hooks import FUNCTIONS, Way
from tokenflow_agent.l7.probe import open_probe
from tokenflow_agent.l7.source import L7Source
from tokenflow_agent.l7.tls import TlsLibraries
from tokenflow_agent.sources import Findings
from tokenflow_api.telemetry_agent import Probe

REQUESTS = 25
# A process of its own, so that the library can be another one than this process's.
CLIENT = """
import http.client, ssl, sys
context = ssl._create_unverified_context()
for line in sys.stdin:
    method, requests = line.split()
    client = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
    for number in range(int(requests)):
        client.request(method, f"/v1/item-{number}?key=hunter2", headers={"Authorization": "Bearer hunter2"})
        client.getresponse().read()
    client.close()
    print("done", flush=True)
"""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = ["-subj", "/CN=localhost", "-days", "2", "-nodes"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *names]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    return cert, key


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    needs_bpf()
    source = L7Source(OnePod())
    await source.follow(spec(Probe.TLS_LATENCY))
    try:
        yield Watch(source)
    finally:
        await source.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


@asynccontextmanager
async def serving(certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    """Yield the port of a server that reads through a memory BIO, as asyncio does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def client(port: int, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a process that sends as many requests as it is told, with its own libssl."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def send(process: asyncio.subprocess.Process, requests: int, *, method: str = "GET") -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{method} {requests}\n".encode())
    assert await process.stdout.readline() == b"done\n"


async def until_watched(
    watch: Watch, port: int, process: asyncio.subprocess.Process, *, direction: str = "Served"
) -> None:
    """Send one request at a time until one is seen: new processes are looked for every other second.

    They are of a method of their own, as what was sent last may show later.
    """
    async with asyncio.timeout(60):
        while not any(key[0] == direction for key in counted([await watch.collect()], port, method="DELETE")):
            await send(process, 1, method="DELETE")
            await asyncio.sleep(0.1)


async def until_counted(watch: Watch, port: int, **requests: int) -> list[Findings]:
    """Collect until so many requests were seen in each direction; what is read off a socket shows a moment later."""
    found: list[Findings] = []
    seen: Counter[object] = Counter()
    async with asyncio.timeout(30):
        while not seen >= Counter(requests):
            found.append(await watch.collect())
            seen = Counter()
            for key, count in counted(found, port).items():
                seen[key[0]] += count
            await asyncio.sleep(0.02)
    return found


def find_library() -> Path:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return Path(next(line.split()[-1] for line in lines if "/libssl.so" in line))


def replace(original: Path, library: Path) -> None:
    """Put another file in a library's place, as package managers do it."""
    shutil.copy(original, library.with_suffix(".new"))
    library.with_suffix(".new").replace(library)


def counted(found: list[Findings], port: int, *, method: str = "GET") -> Counter[tuple[object, ...]]:
    total: Counter[tuple[object, ...]] = Counter()
    for row in (row for each in found for row in rows(each.http, port) if row["method"] == method):
        total[row["direction"], row["tls"], row["method"], row["route"], row["status"]] += int(str(row["requests"]))
    return total


@pytest.mark.bpf
async def test_requests_through_tls_are_seen_once_on_both_sides(watch: Watch, certificate: tuple[Path, Path]) -> None:
    async with serving(certificate) as port, client(port) as process:
        await until_watched(watch, port, process)
        await send(process, REQUESTS)
        found = await until_counted(watch, port, Served=REQUESTS, Dialed=REQUESTS)
    assert counted(found, port) == {
        ("Served", True, "GET", "/v1/*", "2xx"): REQUESTS,
        ("Dialed", True, "GET", "/v1/*", "2xx"): REQUESTS,
    }
    assert "hunter2" not in repr(found)


@pytest.mark.bpf
async def test_a_library_that_is_replaced_under_its_processes_stays_watched_and_so_is_the_new_one(
    watch: Watch, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    library = tmp_path / "libssl.so.3"
    original = await asyncio.to_thread(find_library)
    await asyncio.to_thread(shutil.copy, original, library)
    async with serving(certificate) as port, client(port, LD_LIBRARY_PATH=str(tmp_path)) as old:
        await until_watched(watch, port, old, direction="Dialed")
        await asyncio.to_thread(replace, original, library)
        async with client(port, LD_LIBRARY_PATH=str(tmp_path)) as new:
            await until_watched(watch, port, new, direction="Dialed")
            await send(old, 3)
            await send(new, 4)
            found = await until_counted(watch, port, Dialed=7)
    assert counted(found, port)["Dialed", True, "GET", "/v1/*", "2xx"] == 7


@pytest.mark.bpf
async def test_openssls_own_client_is_seen(watch: Watch, certificate: tuple[Path, Path]) -> None:
    async with serving(certificate) as port:
        command = ("openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}")
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
        process = await asyncio.create_subprocess_exec(*command, **pipes)
        assert process.stdin
        assert process.stdout
        found: list[Findings] = []
        async with asyncio.timeout(30):
            while not any(key[0] == "Dialed" for key in counted(found, port)):
                process.stdin.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await process.stdout.readuntil(b"hello")
                found.append(await watch.collect())
        process.terminate()
        await process.communicate()
    assert {key[1:] for key in counted(found, port)} == {(True, "GET", "/v1/*", "2xx")}


@pytest.mark.bpf
async def test_ten_libraries_are_let_go_within_seconds(tmp_path: Path) -> None:
    needs_bpf()
    probe = await open_probe(Way.CALLS)
    libraries = TlsLibraries(probe.hook, frozenset(FUNCTIONS), proc=tmp_path)
    for number in range(10):
        process = tmp_path / f"{number + 1}"
        (process / "root/lib").mkdir(parents=True)
        shutil.copy(find_library(), process / "root/lib/libssl.so.3")
        (process / "maps").write_text(f"7f00-7f01 r-xp 00000000 08:01 {number}   /lib/libssl.so.3\n")
    libraries.look()
    assert libraries.problem is None
    libraries.close()
    detaching = [thread for thread in threading.enumerate() if thread.name == "tls-detach"]
    assert detaching
    async with asyncio.timeout(5):
        for thread in detaching:
            await asyncio.to_thread(thread.join)
    probe.close()
