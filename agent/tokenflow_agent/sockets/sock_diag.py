"""Asks the kernel for the TCP sockets of one network namespace, by netlink (man 7 sock_diag)."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn, Self

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.sockets import tcp_info
from tokenflow_agent.sockets.tcp_info import TcpInfo

MAX_SOCKETS: Final = 50_000
"""Sockets read of one namespace; more are left out, and counted."""

_NETLINK_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_INFO: Final = 2
_MEMINFO: Final = 7
_CGROUP: Final = 21
_DROPS_AT: Final = 32
_ESTABLISHED: Final = 1
_LISTEN: Final = 10
_BUFFER: Final = 1 << 17
_TIMEOUT_S: Final = 5.0

_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI48x")
_MESSAGE: Final = struct.Struct("=BBBB2s2s16s16sIQIIIII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"


class Listener(NamedTuple):
    """A listening socket.

    Attributes:
        port: that it listens on.
        backlog: connections that wait to be accepted.
        limit: how many may.
        cgroup: id of its cgroup; 0 where the kernel does not say.
        drops: connections turned away since it listens; ``None`` where the kernel does not say.
        cookie: names it for ever.
    """

    port: int
    backlog: int
    limit: int
    cgroup: int
    drops: int | None
    cookie: int


class Connection(NamedTuple):
    """An established connection.

    Attributes:
        port: its own.
        peer_port: of the other side.
        peer: its address: 16 bytes of IPv6, or IPv4 mapped into it.
        cgroup: id of its cgroup; 0 where the kernel does not say.
        unread_bytes: received, and not read yet.
        cookie: names it for ever.
        info: what TCP knows of it.
    """

    port: int
    peer_port: int
    peer: bytes
    cgroup: int
    unread_bytes: int
    cookie: int
    info: TcpInfo


class SockDiag:
    """A netlink socket, which sees the network namespace that its thread was in when it was made.

    Raises:
        ProbeError: the kernel has no sock_diag.
    """

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        except OSError as error:
            raise ProbeError("SockDiagMissing", f"this kernel has no sock_diag: {error.strerror}") from error
        self._socket.settimeout(_TIMEOUT_S)
        self.left_out = 0
        """Sockets beyond ``MAX_SOCKETS``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def listeners(self) -> list[Listener]:
        """Return the listening sockets.

        Raises:
            ProbeError: the kernel refused.
        """
        return [
            Listener(
                port=_port(fields[4]),
                backlog=fields[11],
                limit=fields[12],
                cgroup=_number(attributes.get(_CGROUP)),
                drops=_drops(attributes.get(_MEMINFO, b"")),
                cookie=fields[9],
            )
            for fields, attributes in self._dump(_LISTEN, extension=_MEMINFO)
        ]

    def connections(self) -> list[Connection]:
        """Return the established connections.

        Raises:
            ProbeError: the kernel refused.
        """
        return [
            Connection(
                port=_port(fields[4]),
                peer_port=_port(fields[5]),
                peer=fields[7] if fields[0] == socket.AF_INET6 else _MAPPED + fields[7][:4],
                cgroup=_number(attributes.get(_CGROUP)),
                unread_bytes=fields[11],
                cookie=fields[9],
                info=info,
            )
            for fields, attributes in self._dump(_ESTABLISHED, extension=_INFO)
            if (info := tcp_info.parse(attributes.get(_INFO, b"")))
        ]

    def _dump(self, state: int, *, extension: int) -> Iterator[tuple[tuple[Any, ...], dict[int, bytes]]]:
        read = 0
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << extension - 1, 0, 1 << state)
            header = _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, family, 0)
            for message in self._exchange(header + body):
                read += 1
                if read > MAX_SOCKETS:
                    self.left_out += 1
                    continue
                yield _MESSAGE.unpack_from(message), _attributes(message)

    def _exchange(self, request: bytes) -> Iterator[memoryview]:
        try:
            self._socket.send(request)
            while True:
                data = memoryview(self._socket.recv(_BUFFER))
                position = 0
                while position < len(data):
                    length, kind, _, _, _ = _HEADER.unpack_from(data, position)
                    length = max(length, _HEADER.size)
                    body = data[position + _HEADER.size : position + length]
                    if kind == _DONE:
                        return
                    if kind == _ERROR:
                        _refuse(body)
                    yield body
                    position += length + 3 & ~3
        except FileNotFoundError as error:
            words = "the kernel has no tcp_diag: run 'modprobe tcp_diag' on the node"
            raise ProbeError("SockDiagMissing", words) from error
        except OSError as error:
            raise ProbeError("SockDiagRefused", f"the kernel refused to list sockets: {error}") from error


def _refuse(body: memoryview) -> NoReturn:
    number = -int.from_bytes(body[:4], sys.byteorder, signed=True)
    raise OSError(number, os.strerror(number))


def _attributes(message: memoryview) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = _MESSAGE.size
    while position + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, position)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = bytes(message[position + _ATTRIBUTE.size : position + length])
        position += length + 3 & ~3
    return found


def _port(network_order: bytes) -> int:
    return int.from_bytes(network_order, "big")


def _number(attribute: bytes | None) -> int:
    return int.from_bytes(attribute or b"", sys.byteorder)


def _drops(meminfo: bytes) -> int | None:
    found = meminfo[_DROPS_AT : _DROPS_AT + 4]
    return int.from_bytes(found, sys.byteorder) if found else None
