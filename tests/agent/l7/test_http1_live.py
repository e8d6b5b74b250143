"""Plain HTTP/1.1 over loopback, seen by the running kernel."""

import asyncio
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.agent.l7.support import Watch, rows
from tokenflow_agent.l7.hooks import Way

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    """Head and body in one write, as most servers do it."""
    log: Counter[tuple[str, int]]

    def do_GET(self) -> None:
        code = 404 if "missing" in self.path else 200
        body = b"sensitive completion"
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_HEAD(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        assert size == "-"
        self.log[self.command, int(str(code))] += 1


@contextmanager
def serving() -> Iterator[tuple[int, Counter[tuple[str, int]]]]:
    """Yield the port and the log of a server."""
    handler = type("Logged", (Handler,), {"log": Counter()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, handler.log
        finally:
            server.shutdown()
            thread.join()


def exchange(port: int, *, times: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": "Bearer hunter2", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    for number in range(times):
        client.request("GET", f"/v1/models-{number}?api_key=hunter2", headers=headers)
        client.getresponse().read()
        client.request("GET", f"/v1/missing-{number}")
        client.getresponse().read()
        client.request("POST", "/v1/chat/completions", body=b"a prompt that is sensitive")
        client.getresponse().read()
        client.request("HEAD", "/v1/health")
        client.getresponse().read()
    client.close()


@pytest.mark.bpf
@pytest.mark.parametrize("watch", [None, Way.CALLS], ids=["best way", "calls"], indirect=True)
@pytest.mark.parametrize("direction", ["Served", "Dialed"])
async def test_requests_equal_those_of_the_servers_log(watch: Watch, direction: str) -> None:
    with serving() as (port, log):
        await asyncio.to_thread(exchange, port, times=50)
        found = await watch.until(port, requests=200, direction=direction)
    seen: Counter[tuple[str, str, str]] = Counter()
    for each in found:
        for row in rows(each.http, port):
            if row["direction"] == direction:
                seen[str(row["method"]), str(row["route"]), str(row["status"])] += int(str(row["requests"]))
    assert log == {("GET", 200): 50, ("GET", 404): 50, ("POST", 200): 50, ("HEAD", 204): 50}
    assert seen == {
        ("GET", "/v1/*", "2xx"): 50,
        ("GET", "/v1/*", "4xx"): 50,
        ("POST", "~other", "2xx"): 50,
        ("HEAD", "/v1/*", "2xx"): 50,
    }


@pytest.mark.bpf
async def test_nothing_that_is_private_is_held_or_told(watch: Watch) -> None:
    with serving() as (port, _):
        await asyncio.to_thread(exchange, port, times=5)
        found = await watch.until(port, requests=20)
    told = repr(found)
    assert TRACE in told
    for secret in ("hunter2", "api_key", "sensitive", "models-", "b7ad6b7169203331"):
        assert secret not in told
        assert secret not in repr(vars(watch.source)), "it stays in the source"
