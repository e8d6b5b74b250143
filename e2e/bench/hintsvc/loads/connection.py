"""A connection that never waits: requests are sent whole, and answers are taken as they come."""

import contextlib
import errno
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, Self

BROKEN: Final = 0
"""Status of a request whose connection ended before the answer."""
_HOST: Final = "127.0.0.1"
_CHUNK: Final = 1 << 16
_LENGTH: Final = b"content-length:"
_CONNECT_S: Final = 5.0


class Connection:
    """A keep-alive connection with at most one request under way.

    Args:
        port: of the loopback device to connect to; the connection is opened at once, and not waited for.
    """

    __slots__ = ("_buffer", "_expected", "intended", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = self.socket.connect_ex((_HOST, port))
        if begun not in {0, errno.EINPROGRESS}:
            raise OSError(begun, f"no connection to port {port}")
        self._buffer = b""
        self._expected = 0
        self.intended = time.perf_counter()

    def wait_open(self) -> None:
        """Wait until it is open, or cannot be."""
        opening = select.poll()
        opening.register(self.socket, select.POLLOUT)
        opening.poll(_CONNECT_S * 1000)

    def send(self, request: bytes, *, intended: float) -> None:
        """Send a request that fits the socket's buffer.

        Args:
            request: head and body.
            intended: when it should have been sent, by ``time.perf_counter``.
        """
        self.intended = intended
        self.socket.send(request)

    def receive(self) -> int:
        """Take what has come; return the status of a whole answer, 0 while it is incomplete.

        Raises:
            ConnectionError: the connection ended.
        """
        try:
            chunk = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return 0
        if not chunk:
            raise ConnectionResetError("the connection ended")
        buffer = self._buffer + chunk if self._buffer else chunk
        if not self._expected:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return 0
            self._expected = end + 4 + _length(buffer[:end].lower())
        if len(buffer) < self._expected:
            self._buffer = buffer
            return 0
        self._buffer, self._expected = b"", 0
        return int(buffer[9:12])


class Fleet:
    """Connections that are all open from the beginning, and opened anew where they end.

    Args:
        port: of the loopback device.
        size: how many.
    """

    def __init__(self, port: int, *, size: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._free: deque[Connection] = deque()
        for _ in range(size):
            # One after the other: the storm is another load.
            self._connect().wait_open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open.values():
            connection.socket.close()
        self._poll.close()

    @property
    def free(self) -> bool:
        """Whether a request can be sent."""
        return bool(self._free)

    @property
    def under_way(self) -> int:
        """Requests without an answer."""
        return len(self._open) - len(self._free)

    def send(self, request: bytes, *, intended: float) -> None:
        """Send a request over the connection that has been free for longest."""
        with contextlib.suppress(OSError):  # ``answers`` meets its end
            self._free.popleft().send(request, intended=intended)

    def answers(self, timeout_s: float) -> Iterator[tuple[float, int]]:
        """Yield for each answer that has come when its request should have been sent, and its status."""
        for descriptor, _ in self._poll.poll(timeout_s):
            connection = self._open[descriptor]
            try:
                status = connection.receive()
            except OSError:
                if self._replace(connection):
                    yield connection.intended, BROKEN
                continue
            if status:
                self._free.append(connection)
                yield connection.intended, status

    def _replace(self, connection: Connection) -> bool:
        """Open another connection; return whether a request was under way on this one."""
        busy = connection not in self._free
        if not busy:
            self._free.remove(connection)
        self._poll.unregister(connection.socket)
        del self._open[connection.socket.fileno()]
        connection.socket.close()
        self._connect()
        return busy

    def _connect(self) -> Connection:
        connection = Connection(self._port)
        self._poll.register(connection.socket, select.EPOLLIN)
        self._open[connection.socket.fileno()] = connection
        self._free.append(connection)
        return connection


def get(path: str, *, authorization: str) -> bytes:
    """Return a request to read ``path``."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n\r\n".encode()


def _length(head: bytes) -> int:
    start = head.find(_LENGTH)
    if start < 0:
        return 0
    end = head.find(b"\r\n", start)
    return int(head[start + len(_LENGTH) : end if end >= 0 else len(head)])
