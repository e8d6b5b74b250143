"""How much work a connection may ask for in vain."""


class Allowance:
    """A bucket of frames that bring nothing: pings, settings, resets.

    An attacker sends them by the million (CVE-2023-44487 and its kin); a reader's are soon outweighed by what they
    are sent.

    Args:
        most: frames at once.
        per_second: frames in the long run.
        now: by the monotonic clock, in seconds.
    """

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, *, most: int, per_second: float, now: float) -> None:
        self._most = most
        self._per_second = per_second
        self._left = float(most)
        self._at = now

    def earn(self, frames: int) -> None:
        """Add what the connection has done for its reader."""
        self._left = min(self._left + frames, self._most)

    def take(self, frames: int, *, now: float) -> bool:
        """Return whether that many more are bearable."""
        self._left = min(self._left + (now - self._at) * self._per_second, self._most) - frames
        self._at = now
        return self._left >= 0
