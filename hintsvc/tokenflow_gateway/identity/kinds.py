"""The requests of OpenAI's API that the gateway looks into."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is asked for, by its path."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"

    @property
    def operation(self) -> str:
        """OpenTelemetry's name of it, ``gen_ai.operation.name``."""
        return _OPERATIONS[self]

    @property
    def prompt(self) -> str:
        """The field that holds what is to be completed."""
        return _PROMPTS[self]

    @property
    def limits(self) -> Mapping[str, int]:
        """The fields that bound a completion in tokens, and the least that each may say.

        The first is what the gateway writes where the reader wrote none.
        """
        return _LIMITS[self]


_OPERATIONS: Final = {
    Kind.CHAT: "chat",
    Kind.COMPLETIONS: "text_completion",
    Kind.EMBEDDINGS: "embeddings",
    Kind.RESPONSES: "chat",
}
_PROMPTS: Final = {
    Kind.CHAT: "messages",
    Kind.COMPLETIONS: "prompt",
    Kind.EMBEDDINGS: "input",
    Kind.RESPONSES: "input",
}
_LIMITS: Final[Mapping[Kind, Mapping[str, int]]] = {
    # Engines of before know the old name alone, and present ones both.
    Kind.CHAT: {"max_tokens": 1, "max_completion_tokens": 1},
    # With echo, a completion of nothing tells the probabilities of its prompt.
    Kind.COMPLETIONS: {"max_tokens": 0},
    Kind.EMBEDDINGS: {},
    Kind.RESPONSES: {"max_output_tokens": 1},
}
