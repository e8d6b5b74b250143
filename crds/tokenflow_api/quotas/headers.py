"""The headers by which clients of OpenAI's API know their limits."""

import math
from typing import Final

from tokenflow_api.quota import Limit

_SECOND_MS: Final = 1000


def ratelimit_headers(*, requests: Limit, tokens: Limit) -> dict[str, str]:
    """Return ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``."""
    headers = {}
    for name, limit in (("requests", requests), ("tokens", tokens)):
        headers[f"x-ratelimit-limit-{name}"] = str(limit.limit)
        headers[f"x-ratelimit-remaining-{name}"] = str(limit.remaining)
        headers[f"x-ratelimit-reset-{name}"] = duration(limit.reset_ms)
    return headers


def duration(ms: int) -> str:
    """Return a duration as OpenAI writes it, such as ``20ms``, ``1s`` or ``6m0s``; whole seconds are rounded up."""
    if ms < _SECOND_MS:
        return f"{ms}ms"
    minutes, seconds = divmod(math.ceil(ms / _SECOND_MS), 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
