"""Servers that the commands talk to, on a port of their own."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tokenflow_api.telemetry import Reporter, TelemetryBatch


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def serving(reply: Callable[[str, bytes], Reply]) -> Iterator[str]:
    """Yield the address of a server that answers each request by ``reply(path with query, body)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            answer = reply(self.path, self.rfile.read(length))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Tests need no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Agent:
    """A running agent's port: offers its last sixteen windows."""

    def __init__(self, batches: Sequence[TelemetryBatch] = ()) -> None:
        self.batches = list(batches)
        self.asked: list[int] = []

    def reply(self, path: str, _: bytes) -> Reply:
        parts = urlsplit(path)
        if parts.path != "/windows":
            return Reply(404)
        after = int(parse_qs(parts.query)["after"][0])
        self.asked.append(after)
        offered = [batch.model_dump(mode="json") for batch in self.batches[-16:] if batch.sequence > after]
        return Reply(body=json.dumps({"batches": offered}).encode())


def batch(
    sequence: int, *, boot_id: str = "boot", at_unix_ms: int = 1_700_000_000_000, **tables: object
) -> TelemetryBatch:
    return TelemetryBatch(
        reporter=Reporter.AGENT,
        agent="default/nodes",
        node="n1",
        boot_id=boot_id,
        sequence=sequence,
        sent_at_unix_ms=at_unix_ms + sequence * 1000,
        **tables,
    )
