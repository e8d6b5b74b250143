"""What a client is told once: how to pace, and whose hints to go by."""

import math
from dataclasses import dataclass
from typing import Final

import httpx

from tokenflow_api.hints import ALL_PATHS
from tokenflow_client._connection import Trust
from tokenflow_client._errors import UsageError
from tokenflow_client._rates import MEAN_OF
from tokenflow_client._window import MAX_BATCH

FALLBACK: Final = 20.0
"""The rate that a policy falls back to unless it says otherwise."""
BUFFER: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a client paces.

    Attributes:
        fallback: tokens per second of a stream where no hint is known.
        mean_of: hints whose rates are averaged.
        buffer: items that are read ahead of each stream; when as many wait, its source is read no further.
        max_batch: greatest batch that ``batches`` hands out.
        pause_on_outage: whether a stream's clock stands still while its source is silent, so that no burst follows;
            else what was missed is made up for at once.
        tls: how https is verified; by default as the system says.
    """

    fallback: float = FALLBACK
    mean_of: int = MEAN_OF
    buffer: int = BUFFER
    max_batch: int = MAX_BATCH
    pause_on_outage: bool = True
    tls: Trust | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fallback < math.inf:
            raise UsageError(f"fallback: {self.fallback} tokens per second are no rate; write one above 0")
        for name in ("mean_of", "buffer", "max_batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: {getattr(self, name)} is too few; write 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Whose hints, and where.

    Attributes:
        url: base URL of the hint service.
        api_key: of the tenant.
        tenant: whose hints; empty is the only one that the key can read.
        path: ``<upstream>/<destination class>``, or ``*`` for any.
    """

    url: str
    api_key: str = ""
    tenant: str = ""
    path: str = ALL_PATHS

    def __post_init__(self) -> None:
        if not is_web_server(self.url):
            raise UsageError(f"url: {self.url!r} is no address of a hint service; write http://<host>:<port>")
        if httpx.URL(self.url).userinfo:
            # Errors and logs name the URL.
            raise UsageError("url: it has a user or a password; leave them out, and write api_key=")
        if not fits_header(self.api_key):
            # The key itself is told to nobody.
            raise UsageError("api_key: it has characters that no header can carry; look for a stray line end")


def fits_header(text: str) -> bool:
    """Whether ``text`` can be sent in a header."""
    return text.isascii() and text.isprintable()


def is_web_server(url: str) -> bool:
    """Whether ``url`` is the address of one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)
