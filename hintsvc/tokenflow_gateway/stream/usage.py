"""Tokens that a request took."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a request took, in tokens.

    Attributes:
        input_tokens: of the prompt.
        output_tokens: of the completion.
        measured: whether the upstream said so; else it was counted by events, one token each.
    """

    input_tokens: int
    output_tokens: int
    measured: bool


def told_usage(document: dict[str, Any]) -> Usage | None:
    """Return what a document of an upstream says of its usage, if it does.

    Chat completions, completions and embeddings have it at the top (``prompt_tokens``, ``completion_tokens``),
    responses likewise (``input_tokens``, ``output_tokens``), and the events of a response within the response.
    """
    match document:
        case {"usage": dict(usage)} | {"response": {"usage": dict(usage)}}:
            taken = _count(usage, "prompt_tokens", "input_tokens")
            made = _count(usage, "completion_tokens", "output_tokens")
            if taken is not None or made is not None:
                return Usage(input_tokens=taken or 0, output_tokens=made or 0, measured=True)
    return None


def _count(usage: dict[str, Any], *names: str) -> int | None:
    """Return the count of one of these names; what is no count was not told."""
    found = (usage.get(name) for name in names)
    return next((count for count in found if type(count) is int and count >= 0), None)
