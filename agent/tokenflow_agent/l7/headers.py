"""Which headers are looked at: few, and none that may hold a credential."""

from collections.abc import Iterable
from typing import Final

TRACEPARENT: Final = "traceparent"
CONTENT_TYPE: Final = "content-type"
GRPC_STATUS: Final = "grpc-status"
_NEEDED: Final = frozenset({TRACEPARENT, CONTENT_TYPE, GRPC_STATUS})
_CREDENTIALS: Final = frozenset({"authorization", "cookie", "set-cookie", "x-api-key", "proxy-authorization"})


def allowed(redacted: Iterable[str]) -> frozenset[str]:
    """Return the names, in lower case, of the headers that may be looked at.

    Args:
        redacted: further names not to look at, as ``spec.http.redactHeaders`` has them.
    """
    return _NEEDED - _CREDENTIALS - {name.lower() for name in redacted}
