"""How many tokens each event of a stream carried, which no engine says."""

import itertools
from collections.abc import Sequence
from typing import Final

from tokenflow_client._command.completion import Piece
from tokenflow_client._command.measures import Arrival

_CHARACTERS: Final = 4
"""Characters to a token of English text, as a rule of thumb."""


def arrivals(pieces: Sequence[Piece]) -> list[Arrival]:
    """Return the events with the tokens of the whole shared out over them.

    Each that brought something has one, as engines write them, and what is more by the characters of each. The whole is
    what the usage says; before it is there, as of a stream that broke off, it is estimated.
    """
    weights = [piece.weight for piece in pieces]
    full, weight = sum(each > 0 for each in weights), sum(weights)
    told = next((piece.tokens for piece in reversed(pieces) if piece.tokens is not None), None)
    whole = max(full, -(-weight // _CHARACTERS)) if told is None else told
    least = 1 if whole >= full else 0
    more = whole - least * full
    sums = [so_far * more // weight if weight else 0 for so_far in itertools.accumulate(weights)]
    return [
        Arrival(piece.at_s, until - before + (least if piece.weight else 0), piece.size)
        for piece, before, until in zip(pieces, [0, *sums], sums, strict=False)
    ]
