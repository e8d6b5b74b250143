"""Where an upstream is, and what a request to it looks like on the wire."""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from tokenflow_gateway.errors import InvalidRequestError
from tokenflow_gateway.upstream.call import Outgoing

_PORTS: Final = {"http": 80, "https": 443}
_TARGET: Final = re.compile(r"/[!-~]*")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
_OURS: Final = frozenset(
    (
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers between the gateway and its upstream alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where an upstream is.

    Attributes:
        host: to connect to.
        port: to connect to.
        tls: whether by https.
        authority: as the ``Host`` header names it.
        prefix: path that all targets are below, without the ``/v1`` that they bring along.
        credentials: value of the ``Authorization`` header that the URL itself holds; empty without.
    """

    host: str
    port: int
    tls: bool
    authority: str
    prefix: str
    credentials: str


@lru_cache(maxsize=64)
def parse_origin(url: str) -> Origin:
    """Return where the URL of an upstream leads.

    Raises:
        ValueError: its host is no name that can be.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode()
    authority = f"[{host}]" if ":" in host else host
    user = parts.netloc.rpartition("@")[0]
    return Origin(
        host=host,
        port=parts.port or _PORTS[parts.scheme],
        tls=parts.scheme == "https",
        authority=f"{authority}:{parts.port}" if parts.port else authority,
        prefix=quote(parts.path.rstrip("/").removesuffix("/v1"), safe="/%:@!$&'()*+,;=~"),
        credentials=f"Basic {base64.b64encode(unquote(user).encode()).decode()}" if user else "",
    )


def request_bytes(origin: Origin, outgoing: Outgoing, *, api_key: str) -> list[bytes]:
    """Return a request as it is sent: its head, and its body if it has one.

    Args:
        origin: of the upstream.
        outgoing: what to send; headers that concern the connection are left out.
        api_key: of the upstream; empty for none.

    Raises:
        InvalidRequestError: something in it would be read as more than one request, or as none.
    """
    if not _METHOD.fullmatch(outgoing.method) or not _TARGET.fullmatch(outgoing.target):
        raise InvalidRequestError("the method or the URL holds characters that it may not: encode them by %XX")
    credentials = f"Bearer {api_key}" if api_key else origin.credentials
    lines = [
        f"{outgoing.method} {origin.prefix}{outgoing.target} HTTP/1.1",
        f"Host: {origin.authority}",
        # Events are cut out of the answer, so it must not come compressed.
        "Accept-Encoding: identity",
    ]
    if credentials:
        lines.append(f"Authorization: {credentials}")
    if outgoing.body or outgoing.method not in {"GET", "HEAD"}:
        lines.append(f"Content-Length: {len(outgoing.body)}")
    for name, value in outgoing.headers.items():
        if name.lower() in _OURS:
            continue
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InvalidRequestError(f"header {name!r} holds characters that it may not: leave them out")
        lines.append(f"{name}: {value}")
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    return [head, outgoing.body] if outgoing.body else [head]
