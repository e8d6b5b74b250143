"""A way to the API server that one process has to itself, and that can be cut without either end noticing."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Relay:
    """Passes bytes on until it is cut; after that they go nowhere, and no connection is closed."""

    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self._listener = listener
        self._target = target
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.cut = threading.Event()

    def accept(self) -> None:
        """Serve connections until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                self._sockets.append(here)
                if not self.cut.is_set():
                    there = socket.create_connection(self._target, timeout=5)
                    there.settimeout(None)
                    self._sockets.append(there)
                    self._start(here, there)
                    self._start(there, here)

    def close(self) -> None:
        for connection in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        for connection in self._sockets:
            connection.close()

    def _start(self, source: socket.socket, sink: socket.socket) -> None:
        thread = threading.Thread(target=self._pass, args=(source, sink))
        self._threads.append(thread)
        thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.cut.is_set():
                    sink.sendall(data)
            if not self.cut.is_set():
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(kubeconfig: Path, *, through: Path) -> Iterator[Relay]:
    """Write a kubeconfig ``through`` that leads through a relay, and run the relay."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cluster["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        through.write_text(yaml.safe_dump(document))
        relay = Relay(listener, (str(server.hostname), server.port or 443))
        accepting = threading.Thread(target=relay.accept)
        accepting.start()
        try:
            yield relay
        finally:
            relay.close()
            accepting.join(timeout=5)
