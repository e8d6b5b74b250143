"""What a stream has read and not sent yet."""

from collections import deque
from typing import Final

from tokenflow_gateway.stream.deltas import Piece

MOST_BYTES: Final = 64 << 10
MOST_EVENTS: Final = 256


class Held:
    """Pieces that wait for their turn.

    Attributes:
        tokens: in them.
        size: bytes of their events.
    """

    __slots__ = ("_pieces", "size", "tokens")

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self.tokens = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def full(self) -> bool:
        """Whether there is more than a stream may hold."""
        return self.size >= MOST_BYTES or len(self._pieces) >= MOST_EVENTS

    @property
    def free(self) -> bool:
        """Whether the next piece carries no token, and so is bound by no rate."""
        return bool(self._pieces) and not self._pieces[0].tokens

    def add(self, piece: Piece) -> None:
        """Put a piece behind the others."""
        self._pieces.append(piece)
        self.tokens += piece.tokens
        self.size += len(piece.event)

    def take(self, most: int) -> list[Piece]:
        """Take out pieces of at most ``most`` tokens, but at least one, and those without tokens behind them."""
        taken: list[Piece] = []
        pieces, tokens = self._pieces, 0
        while pieces and (not taken or tokens + pieces[0].tokens <= most):
            piece = pieces.popleft()
            taken.append(piece)
            tokens += piece.tokens
            self.size -= len(piece.event)
        self.tokens -= tokens
        return taken
