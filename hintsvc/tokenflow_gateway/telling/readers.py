"""Figures of each tenant: what its readers got."""

from collections import Counter
from typing import Final

from tokenflow_api.serving.buckets import Buckets

TIMES_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
GAPS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
"""Close to one another where gaps of paced streams are, so that quantiles can be read off."""
QUALITIES: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


class Readers:
    """The figures of one tenant, since the start.

    Attributes:
        requests: answered, by route and status.
        first_token: time from the request to the first token of a stream, in seconds.
        gaps: time between two writes with tokens, in seconds.
        queue: time that requests waited for room, in seconds.
        quality: of experience, of streams that are over.
        verdicts: of streams that are over.
        costs: in millionths of a micro, by currency.
        usage: tokens that were measured or counted, by direction.
    """

    __slots__ = (
        "bytes",
        "cancelled",
        "costs",
        "first_token",
        "gaps",
        "late_tokens",
        "quality",
        "queue",
        "reading_s",
        "requests",
        "stalled_s",
        "stalls",
        "streams",
        "tokens",
        "usage",
        "verdicts",
    )

    def __init__(self) -> None:
        self.bytes = 0
        self.cancelled = 0
        self.late_tokens = 0
        self.reading_s = 0.0
        self.stalled_s = 0.0
        self.stalls = 0
        self.streams = 0
        self.tokens = 0
        self.first_token = Buckets(TIMES_S)
        self.gaps = Buckets(GAPS_S)
        self.queue = Buckets(TIMES_S)
        self.quality = Buckets(QUALITIES)
        self.costs: Counter[str] = Counter()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.usage: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
