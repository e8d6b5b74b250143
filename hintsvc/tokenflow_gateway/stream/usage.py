"""Tokens that a request took."""

from dataclasses import dataclass


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
