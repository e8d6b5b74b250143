"""Tables as kubectl prints them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

_GAP: Final = "   "
_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60))


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows under headers, each column as wide as its widest cell; nothing where there are no rows."""
    if not rows:
        return ""
    cells = [list(headers), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    lines = (_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines) + "\n"


def age(since: str, *, now: datetime) -> str:
    """Return the time since a moment (RFC 3339) in its largest unit."""
    try:
        passed_s = (now - datetime.fromisoformat(since)).total_seconds()
    except (TypeError, ValueError):
        return "?"
    for unit, length_s in _UNITS:
        if passed_s >= 2 * length_s:
            return f"{passed_s // length_s:.0f}{unit}"
    return f"{max(passed_s, 0):.0f}s"
