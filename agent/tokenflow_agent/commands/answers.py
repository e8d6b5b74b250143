"""Asks an HTTP server a question. The commands ask seldom, so one connection each will do."""

import http.client
from dataclasses import dataclass
from email.message import Message
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tokenflow_agent.errors import AwayError, UsageError

MAX_BYTES: Final = 64 << 20
"""Longest answer that is read: sixteen windows of the largest size."""
_CONNECTIONS: Final = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Message
    body: bytes


def get(url: str, path: str, *, timeout_s: float) -> Answer:
    """Return the answer to ``GET url/path``; proxies of the environment are passed by.

    Args:
        url: base address.
        path: begins with a slash.
        timeout_s: of connecting, and of each wait for more.

    Raises:
        UsageError: ``url`` is no HTTP address.
        AwayError: no answer came.
    """
    where = address(url)
    connection = _CONNECTIONS[where.scheme](where.hostname or "", where.port, timeout=timeout_s)
    try:
        connection.request("GET", where.path.rstrip("/") + path)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read(MAX_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise AwayError(f"{url} does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()


def address(url: str) -> SplitResult:
    """Return the parts of a base address.

    Raises:
        UsageError: it is none of HTTP.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in _CONNECTIONS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{url!r} is no address: write one such as http://127.0.0.1:9435")
    return parts
