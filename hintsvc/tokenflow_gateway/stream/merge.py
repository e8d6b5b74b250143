"""Merges deltas into fewer events of equal content."""

from collections.abc import Sequence

from tokenflow_gateway.stream.deltas import Piece, Raw, Run


def merged(pieces: Sequence[Piece]) -> bytes:
    """Return pieces as events, deltas of a kind merged.

    The text of each choice stays the same, byte for byte, and so does the order of all that one choice carries.
    Different choices may overtake one another, but none what is passed on as it came.
    """
    if len(pieces) == 1:
        return _event(pieces[0])
    events: list[Piece] = []
    last: dict[int, Run] = {}
    for piece in pieces:
        if isinstance(piece, Raw):
            last.clear()
            events.append(piece)
            continue
        run = last.get(piece.template.choice)
        if run is not None and run.template.likeness == piece.template.likeness:
            run.texts += piece.texts
            # The last one's: where engines tell on each chunk what was used so far, it has the newest.
            run.template = piece.template
        else:
            last[piece.template.choice] = piece
            events.append(piece)
    return b"".join(map(_event, events))


def _event(piece: Piece) -> bytes:
    if isinstance(piece, Raw):
        return piece.event
    template, texts = piece.template, piece.texts
    return template.prefix + (texts[0] if len(texts) == 1 else b"".join(texts)) + template.suffix
