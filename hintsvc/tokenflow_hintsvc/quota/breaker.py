"""A breaker: after some failures in a row nobody waits for Redis any more, until it answers again."""

from typing import Final

FAILURES: Final = 3


class Breaker:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self._failures = 0

    @property
    def closed(self) -> bool:
        """Whether it makes sense to wait."""
        return self._failures < FAILURES

    def fail(self) -> bool:
        """Note a failure; return whether it opened the breaker."""
        self._failures += 1
        return self._failures == FAILURES

    def succeed(self) -> None:
        """Note an answer."""
        self._failures = 0
