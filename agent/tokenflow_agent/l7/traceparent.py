"""The trace of a request, from W3C Trace Context's ``traceparent``."""

import re
from typing import Final

_FORM: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_FIRST_VERSION: Final = "00"


def trace_id(value: str) -> str | None:
    """Return the trace's id, 32 hexadecimal digits; ``None`` where the value is malformed.

    Later versions may say more behind what is known, as the recommendation asks.
    """
    found = _FORM.fullmatch(value)
    if not found or (found[1] == _FIRST_VERSION and found[3]):
        return None
    return found[2]
