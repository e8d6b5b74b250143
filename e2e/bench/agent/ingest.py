"""A hint service as far as agents know it: takes batches, or is away."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tokenflow_api.codec import decode
from tokenflow_api.telemetry import BatchReply, TelemetryBatch

_TIMEOUT_S: Final = 5.0


class Ingest:
    """Takes the batches of all agents that know its address.

    Attributes:
        segments: received, by boot id and sequence.
        duplicates: batches that came again.
    """

    def __init__(self) -> None:
        self.segments: dict[str, dict[int, int]] = defaultdict(dict)
        self.duplicates = 0
        self._address = ("127.0.0.1", 0)

    @property
    def url(self) -> str:
        """Where it listens, once it has."""
        return f"http://127.0.0.1:{self._address[1]}"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take batches until the block is left; each time at the same address."""
        server = ThreadingHTTPServer(self._address, self._handler())
        self._address = ("127.0.0.1", server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(_TIMEOUT_S)
            server.server_close()

    def missing(self) -> int:
        """Return how many sequences are missing before the last one that came of each boot."""
        return sum(max(taken) - len(taken) for taken in self.segments.values())

    def _take(self, batch: TelemetryBatch) -> BatchReply:
        taken = self.segments[batch.boot_id]
        duplicate = batch.sequence in taken
        self.duplicates += duplicate
        taken[batch.sequence] = sum(batch.tcp.segments)
        return BatchReply(sequence=batch.sequence, duplicate=duplicate, received_at_unix_ms=batch.sent_at_unix_ms)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = take(decode(body, TelemetryBatch)).model_dump_json().encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing: what counts is counted."""

        return Handler
