"""What a replica holds leased of one limit and has not used yet."""

from collections import deque


class Lots:
    """Leased amounts, oldest first, each with the bucket of the shared minute that it was charged to."""

    def __init__(self) -> None:
        self.held = 0
        self._lots: deque[tuple[int, int]] = deque()

    def add(self, bucket: int, amount: int) -> None:
        """Hold more."""
        if amount:
            self._lots.append((bucket, amount))
            self.held += amount

    def take(self, amount: int) -> int | None:
        """Use some, the oldest first.

        Returns:
            The oldest bucket that it came from: what is returned to that one never makes room too early. ``None``
            when there is not as much.
        """
        if amount > self.held:
            return None
        self.held -= amount
        oldest = self._lots[0][0]
        while amount:
            bucket, held = self._lots.popleft()
            if held > amount:
                self._lots.appendleft((bucket, held - amount))
            amount -= min(held, amount)
        return oldest

    def surrender(self, *, before: int) -> list[tuple[int, int]]:
        """Give up what was leased before that bucket; return pairs of bucket and amount."""
        given = []
        while self._lots and self._lots[0][0] < before:
            bucket, amount = self._lots.popleft()
            self.held -= amount
            given.append((bucket, amount))
        return given
