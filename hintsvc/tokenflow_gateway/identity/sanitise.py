"""Which headers pass the gateway: a list for each direction, and nothing else."""

import re
from collections.abc import Mapping
from typing import Final

TO_UPSTREAM: Final = frozenset(
    {
        "accept",
        "content-type",
        "idempotency-key",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "tracestate",
        "user-agent",
        "x-client-request-id",
        "x-request-id",
    }
)
"""Headers of a request that an upstream may know. Credentials, cookies and addresses of readers are not among them."""

TO_READER: Final = frozenset(
    {
        "content-disposition",
        "content-encoding",
        "content-type",
        "openai-model",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "x-request-id",
    }
)
"""Headers of an answer that a reader may know. What an upstream says of itself, or of the gateway's account, is not."""

MAX_VALUE: Final = 4096
"""Characters of a value; a longer one does not pass."""

_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def to_upstream(headers: Mapping[str, str], *, traceparent: str) -> dict[str, str]:
    """Return the headers of a request as they go to an upstream.

    Args:
        headers: of the reader's request, by lower-case name.
        traceparent: of the span that the upstream's work belongs to.
    """
    # Events are cut out of the answer, so it must not come compressed.
    return _passed(headers, TO_UPSTREAM) | {"accept-encoding": "identity", "traceparent": traceparent}


def to_reader(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an upstream's answer, by lower-case name, as they go to the reader."""
    return _passed(headers, TO_READER)


def _passed(headers: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name in names and len(value) <= MAX_VALUE and _VALUE.fullmatch(value)
    }
