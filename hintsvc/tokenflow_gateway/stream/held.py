"""What a stream has read and not sent yet."""

from collections import deque
from typing import Final

from tokenflow_gateway.stream.deltas import Piece, Raw, Run

MOST_BYTES: Final = 64 << 10
MOST_TOKENS: Final = 256


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
        """Whether there is as much as a stream may hold."""
        return self.size >= MOST_BYTES or self.tokens >= MOST_TOKENS

    @property
    def free(self) -> bool:
        """Whether the next piece carries no token, and so is bound by no rate."""
        first = self._pieces[0]
        return isinstance(first, Raw) and not first.tokens

    def add(self, piece: Piece) -> None:
        """Put a piece behind the others."""
        self.tokens += _tokens(piece)
        self.size += _size(piece)
        if self._pieces and isinstance(piece, Run):
            last = self._pieces[-1]
            if isinstance(last, Run) and last.template is piece.template:
                last.texts += piece.texts
                return
        self._pieces.append(piece)

    def take(self, most: int) -> list[Piece]:
        """Take out pieces of at most ``most`` tokens, but at least one, and those without tokens behind them."""
        pieces, left = self._pieces, most
        if self.tokens <= most:
            taken = list(pieces)
            pieces.clear()
            self.tokens = self.size = 0
            return taken
        taken = []
        while pieces:
            piece = pieces[0]
            if isinstance(piece, Run) and 0 < left < len(piece.texts):
                first, piece.texts = piece.texts[:left], piece.texts[left:]
                piece = Run(piece.template, first)
            elif taken and _tokens(piece) > left:
                break
            else:
                pieces.popleft()
            tokens = _tokens(piece)
            taken.append(piece)
            left -= tokens
            self.tokens -= tokens
            self.size -= _size(piece)
        return taken


def _tokens(piece: Piece) -> int:
    return piece.tokens if isinstance(piece, Raw) else len(piece.texts)


def _size(piece: Piece) -> int:
    """Return the bytes of a piece's events, as they came."""
    if isinstance(piece, Raw):
        return len(piece.event)
    return sum(map(len, piece.texts)) + len(piece.texts) * piece.template.frame
