"""What a stream has said so far, so that whoever resumes it can go on from there."""

from typing import Final

from tokenflow_client._errors import StreamInterruptedError

MAX_CHARACTERS: Final = 1_000_000
DRAINING: Final = "gateway_draining"
"""Code of the error by which a gateway that leaves ends its streams."""


class Transcript:
    """Collects the text of the first choice, of strings and of OpenAI's chunks and events.

    Of a stream that says more than ``MAX_CHARACTERS`` nothing is kept: no model could go on from there.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._characters = 0
        self._tokens = 0

    def add(self, item: object, *, tokens: int) -> None:
        """Take the next item."""
        self._tokens += tokens
        if self._characters <= MAX_CHARACTERS and (piece := text(item)):
            self._pieces.append(piece)
            self._characters += len(piece)
            if self._characters > MAX_CHARACTERS:
                self._pieces.clear()

    def interruption(self, error: Exception) -> StreamInterruptedError | None:
        """Return what to raise instead of ``error`` where a gateway that leaves ended the stream."""
        if getattr(error, "code", None) != DRAINING:
            return None
        tokens = _sent(error) or self._tokens
        return StreamInterruptedError(
            f"the gateway leaves, and ended the stream after {tokens} tokens: send the request again, with the text so "
            "far as the assistant's last message",
            text="".join(self._pieces),
            tokens=tokens,
        )


def _sent(error: Exception) -> int | None:
    """Return the gateway's own count, which knows how many tokens it merged into one chunk."""
    match getattr(error, "body", None):
        case {"tokens_sent": int(tokens)}:
            return tokens
    return None


def text(item: object) -> str:
    """Return the text in an item: a string, a chunk of a (chat) completion, or an event of a response."""
    if isinstance(item, str):
        return item
    for choice in getattr(item, "choices", None) or ():
        if getattr(choice, "index", 0) == 0:
            piece = getattr(getattr(choice, "delta", None), "content", None) or getattr(choice, "text", None)
            return piece if isinstance(piece, str) else ""
    if getattr(item, "type", None) == "response.output_text.delta":
        delta = getattr(item, "delta", "")
        return delta if isinstance(delta, str) else ""
    return ""
