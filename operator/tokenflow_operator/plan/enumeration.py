"""How many things are told of in a message that people read."""

from collections.abc import Sequence


def some(words: Sequence[str], *, most: int, separator: str = ", ") -> str:
    """Return the first of the words, ``most`` of them, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return f"{separator.join(words[:most])}{more}"
