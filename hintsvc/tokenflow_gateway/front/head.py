"""Heads of requests and answers, the same for both versions of HTTP."""

import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

_OURS: Final = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
"""Headers of a connection (RFC 9110, section 7.6.1): whoever answers knows nothing of it."""
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def add_header(headers: dict[str, str], name: bytes, value: bytes) -> None:
    """Add a header of a request; one that is there already becomes a list (RFC 9110, section 5.3)."""
    key, text = name.decode("latin-1").lower(), value.decode("latin-1")
    if key in headers:
        text = f"{headers[key]}{'; ' if key == 'cookie' else ', '}{text}"
    headers[key] = text


def answer_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to send, by lower-case name, with the date.

    Raises:
        ValueError: one of them would break the head, as a value with a line break does.
    """
    sent = {"date": _date(int(time.time()))}
    for name, value in headers.items():
        key = _key(name)
        if not key or _FORBIDDEN.search(value):
            raise ValueError(f"the header {name!r} cannot be sent")
        if key not in _OURS:
            sent[key] = value
    return sent


def bodiless(method: str, status: int) -> bool:
    """Return whether an answer has no body, whatever its headers say (RFC 9112, section 6.3)."""
    return method == "HEAD" or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the head of an answer in HTTP/1.1."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{lines}\r\n".encode("latin-1")


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    """Return a header's name as it is sent; empty for one that is none."""
    key = name.lower()
    return key if _NAME.fullmatch(key) else ""


@lru_cache(maxsize=1)
def _date(unix_s: int) -> str:
    return formatdate(unix_s, usegmt=True)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        # Upstreams may have numbers of their own.
        return ""
