"""Reads the first bytes of HTTP/1.x messages (RFC 9112).

The kernel tells where an exchange begins and ends; what follows from that:

- A response ends with the byte that its length or its last chunk says, else with the last byte before the next
  request or the end of the connection. A last chunk is known by its bytes, so trailers hide it.
- Of requests that are pipelined, those that arrive before the first is answered count as one.
- Only the first 1 KiB of a request and 512 bytes of a response are seen, and only what was read or written at
  once: headers behind that are unknown, never guessed.
"""

import re
from typing import Final, NamedTuple

from tokenflow_agent.l7.headers import TRACEPARENT

OTHER_METHOD: Final = "~other"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
ABORTED: Final = "aborted"

_VERSION: Final = b"HTTP/1."
_STATUS: Final = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})")


class Request(NamedTuple):
    """The head of a request.

    Attributes:
        method: one of ``METHODS``, else ``~other``.
        target: path or URL as sent, which must go no further than ``Routes``.
        traceparent: the header's value; empty without one.
    """

    method: str
    target: str
    traceparent: str


def request(head: bytes, *, headers: frozenset[str]) -> Request | None:
    """Return the head of a request; ``None`` where the bytes are none.

    Args:
        head: its first bytes.
        headers: names that may be looked at.
    """
    line, end, rest = head.partition(b"\r\n")
    method, _, behind = line.partition(b" ")
    target, space, version = behind.partition(b" ")
    # A line longer than what was kept has no version at its end.
    if not target or (space and not _VERSION.startswith(version[: len(_VERSION)])):
        return None
    name = method.decode("latin-1")
    return Request(
        method=name if name in METHODS else OTHER_METHOD,
        target=target.decode("latin-1"),
        traceparent=_header(end + rest, b"\r\ntraceparent:") if TRACEPARENT in headers else "",
    )


def status(head: bytes) -> int | None:
    """Return the status of a response; ``None`` where the bytes are none."""
    found = _STATUS.match(head)
    return int(found[1]) if found else None


def outcome(code: int) -> str:
    """Return what a status counts as: ``2xx`` and so on."""
    return f"{code // 100}xx"


def _header(rest: bytes, name: bytes) -> str:
    """Return the value of a header, of those before the first empty line; empty where there is none."""
    head, _, _ = rest.partition(b"\r\n\r\n")
    at = head.lower().find(name)
    if at < 0:
        return ""
    return head[at + len(name) :].partition(b"\r\n")[0].strip().decode("latin-1")
