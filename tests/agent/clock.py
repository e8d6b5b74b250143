"""Time as a test has it pass."""


class Clock:
    """A monotonic clock, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
