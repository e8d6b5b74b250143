"""Merges deltas into fewer events of equal content."""

from collections.abc import Sequence

from tokenflow_gateway.stream.deltas import Delta, Piece
from tokenflow_gateway.stream.events import END


def merged(pieces: Sequence[Piece]) -> bytes:
    """Return pieces as events, deltas of a kind merged.

    The text of each choice stays the same, byte for byte, and so does the order of all that one choice carries.
    Different choices may overtake one another, but none what is passed on as it came.
    """
    if len(pieces) == 1:
        return pieces[0].event + END
    events: list[bytes] = []
    runs: list[list[Delta]] = []
    last: dict[int, list[Delta]] = {}
    for piece in pieces:
        if not isinstance(piece, Delta):
            events += map(_joined, runs)
            events.append(piece.event)
            runs, last = [], {}
            continue
        run = last.get(piece.template.choice)
        if run and _alike(run[-1], piece):
            run.append(piece)
        else:
            last[piece.template.choice] = run = [piece]
            runs.append(run)
    events += map(_joined, runs)
    events.append(b"")
    return END.join(events)


def _alike(one: Delta, other: Delta) -> bool:
    return one.template is other.template or one.template.likeness == other.template.likeness


def _joined(run: Sequence[Delta]) -> bytes:
    last = run[-1]
    if len(run) == 1:
        return last.event
    # The last one's: where engines tell on each chunk what was used so far, it has the newest.
    return b"".join((last.template.prefix, *(delta.text for delta in run), last.template.suffix))
