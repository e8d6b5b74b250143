"""Tokens that tell when they were generated, so that their age can be seen wherever they arrive.

A token is a space and five digits to the base 36: tenths of a millisecond of the machine's monotonic clock. It is
about as long as a token of English, passes through whatever passes text, and stays what it is when several are put
into one event. Sender and reader must be on one machine; the digits come round after 100 minutes.
"""

import itertools
from string import ascii_lowercase, digits
from typing import Final

_BASE: Final = digits + ascii_lowercase
_PER_S: Final = 10_000
_LOW: Final = [a + b for a, b in itertools.product(_BASE, _BASE)]
_HIGH: Final = [f" {a}{b}{c}" for a, b, c in itertools.product(_BASE, _BASE, _BASE)]
_ROUND: Final = len(_LOW) * len(_HIGH)


def stamp(at: float) -> str:
    """Return the token that was generated at the monotonic time ``at``."""
    high, low = divmod(int(at * _PER_S) % _ROUND, len(_LOW))
    return _HIGH[high] + _LOW[low]


def stamps(content: str, *, at: float) -> list[float]:
    """Return when each token of ``content`` was generated, which arrived at the monotonic time ``at``.

    Raises:
        ValueError: something else than tokens of ``stamp`` is in it.
    """
    return [generated(int(token, 36), at=at) for token in content.split()]


def generated(digits: int, *, at: float) -> float:
    """Return the latest time before ``at`` that has these digits."""
    now = int(at * _PER_S)
    return (now - (now - digits) % _ROUND) / _PER_S
