"""What is asked of a quota, and what it says."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.quota import Refusal

STREAM_WAIT_MS: Final = 1000
"""When a stream ends is not known; to ask again after a second costs little."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: the tokens to reserve for it, and whether it opens a stream."""

    tokens: int
    stream: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a request.

    Attributes:
        refusal: why there is no room; ``None`` where it was admitted.
        wait_ms: until it makes sense to ask again.
        number: of the reservation.
        bucket: of the shared minute that it was charged to; 0 where it was not charged.
        tokens: reserved.
        local: whether this replica decided on its own.
    """

    refusal: Refusal | None = None
    wait_ms: int = 0
    number: int = 0
    bucket: int = 0
    tokens: int = 0
    local: bool = False
