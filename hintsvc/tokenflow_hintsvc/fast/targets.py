"""What a request asks for."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote

from httptools import HttpParserInvalidURLError, parse_url

from tokenflow_api.hints import ALL_PATHS

_PREFIX: Final = "/v1/hints/"
HINT_ROUTE: Final = "/v1/hints/{tenant}"
STREAM_ROUTE: Final = "/v1/hints/stream"
OTHER_ROUTE: Final = "~other"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for.

    Attributes:
        route: its template; ``~other`` for what this listener does not have.
        tenant: whose hint; empty for what is none.
        path: of that tenant.
    """

    route: str
    tenant: str = ""
    path: str = ALL_PATHS


_OTHER: Final = Target(OTHER_ROUTE)


@lru_cache(maxsize=4096)
def parse_target(target: bytes) -> Target:
    """Return what the target of a request names."""
    try:
        url = parse_url(target)
        path, query = (url.path or b"").decode("ascii"), (url.query or b"").decode("ascii")
    except (HttpParserInvalidURLError, UnicodeDecodeError):
        return _OTHER
    if path == STREAM_ROUTE:
        return Target(STREAM_ROUTE)
    tenant = path.removeprefix(_PREFIX)
    if not path.startswith(_PREFIX) or not tenant or "/" in tenant:
        return _OTHER
    # Of a field that is there twice the first counts.
    fields = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    return Target(HINT_ROUTE, unquote(tenant), fields.get("path", ALL_PATHS))
