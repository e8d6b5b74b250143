"""HTTP/2 and gRPC over loopback, seen by the running kernel."""

import asyncio
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from e2e.bench.proc import free_port
from tests.agent.l7.support import Watch, rows
from tokenflow_agent.sources import Findings


def infer(request: bytes, context: grpc.ServicerContext) -> bytes:
    if request == b"refuse":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "a detail that is sensitive")
    return b"completion " * int(request)


@pytest.fixture
def port() -> Iterator[int]:
    methods = {"Infer": grpc.unary_unary_rpc_method_handler(infer)}
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("v1", methods)])
    number = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield number
    server.stop(None).wait()


def call(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary("/v1/Infer")
        metadata = [("authorization", "Bearer hunter2")]
        for size in (1, 10_000, 1) * 10:
            method(b"%d" % size, metadata=metadata, timeout=10)
        for _ in range(5):
            with pytest.raises(grpc.RpcError):
                method(b"refuse", timeout=10)


def counted(found: list[Findings], port: int, direction: str) -> Counter[tuple[object, ...]]:
    total: Counter[tuple[object, ...]] = Counter()
    for row in (row for each in found for row in rows(each.http, port) if row["direction"] == direction):
        total[row["protocol"], row["method"], row["route"], row["status"]] += int(str(row["requests"]))
    return total


@pytest.mark.bpf
@pytest.mark.parametrize("direction", ["Served", "Dialed"])
async def test_calls_of_grpc_are_counted_by_status(watch: Watch, port: int, direction: str) -> None:
    await asyncio.to_thread(call, port)
    found = await watch.until(port, requests=35, direction=direction)
    assert counted(found, port, direction) == {
        ("GRPC", "POST", "/v1/*", "OK"): 30,
        ("GRPC", "POST", "/v1/*", "RESOURCE_EXHAUSTED"): 5,
    }
    assert found[-1].lost.get("Desync", 0) == 0
    for secret in ("hunter2", "sensitive", "completion"):
        assert secret not in repr(found)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[int]:
    if shutil.which("nginx") is None:
        pytest.skip("no nginx: run 'apt-get install nginx'")
    number = free_port()
    for name, size in (("small", 100), ("large", 300_000)):
        (tmp_path / name).write_bytes(b"x" * size)
    tmp_path.chmod(0o755)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; user root; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{number} http2;\n"
        f"location /v1/ {{ alias {tmp_path}/; }} }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"])
    try:
        yield number
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.bpf
@pytest.mark.parametrize("direction", ["Served", "Dialed"])
async def test_nginx_and_curl_speak_http2(watch: Watch, nginx: int, direction: str) -> None:
    command = ("curl", "-s", "--http2-prior-knowledge", "--retry", "9", "--retry-connrefused", "-o", "/dev/null")
    for name in ("small", "large", "missing") * 5:
        target = f"http://127.0.0.1:{nginx}/v1/{name}?key=hunter2"
        await asyncio.to_thread(subprocess.run, [*command, target], check=True, timeout=20)
    found = await watch.until(nginx, requests=15, direction=direction)
    assert counted(found, nginx, direction) == {
        ("HTTP2", "GET", "/v1/*", "2xx"): 10,
        ("HTTP2", "GET", "/v1/*", "4xx"): 5,
    }
    assert "hunter2" not in repr(found)
