"""What the scripted engine says, by the name of the model: the kinds of answers that clients have to cope with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

Document = dict[str, Any]

CHAT: Final = "chat"
TOOLS: Final = "tools"
JSON: Final = "json"
ENDLESS: Final = "endless"
SLOW: Final = "slow"
BREAKS: Final = "breaks"
REFUSALS: Final = {
    "refused-400": (400, "invalid_request_error", "context_length_exceeded"),
    "refused-429": (429, "rate_limit_exceeded", "rate_limit_exceeded"),
    "failed-500": (500, "server_error", "engine_died"),
}
"""Models that answer with an error: its status, type and code."""
MODELS: Final = (CHAT, TOOLS, JSON, ENDLESS, SLOW, BREAKS, *REFUSALS)

SENTENCE: Final = "The packet went over a thin link, and came back in time for tea."
DOCUMENT: Final = '{"answer": "na\u00efve caf\u00e9 \u2615\ufe0f \U0001f680 a\u2028b", "numbers": [1, 2, 3]}'
"""Has characters of two to four bytes, and one that some take for the end of a line."""
CALLS: Final = (
    ("call_weather", "weather", '{"city": "Z\u00fcrich", "days": 3}'),
    ("call_time", "clock", '{"zone": "Europe/Zurich"}'),
)
_PIECE: Final = 3
"""Characters of one delta where words do not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """One answer.

    Attributes:
        deltas: as a stream brings it, a token each.
        message: as it comes in one piece.
        finish_reason: why it ends.
    """

    deltas: Sequence[Document]
    message: Document
    finish_reason: str = "stop"

    @property
    def tokens(self) -> int:
        """The tokens that the answer takes."""
        return len(self.deltas)


def script(model: str, *, choice: int) -> Script:
    """Return what ``model`` answers as choice number ``choice``."""
    match model:
        case "tools":
            calls = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for call_id, name, arguments in CALLS
            ]
            message = {"content": None, "tool_calls": calls}
            return Script(deltas=_calls(), message=message, finish_reason="tool_calls")
        case "json":
            return _text([DOCUMENT[at : at + _PIECE] for at in range(0, len(DOCUMENT), _PIECE)])
        case _:
            return _text(tokens(f"{SENTENCE} ({choice})"))


def tokens(text: str) -> list[str]:
    """Return ``text`` in words, each with the space before it."""
    return [word if not number else f" {word}" for number, word in enumerate(text.split(" "))]


def _text(parts: Sequence[str]) -> Script:
    return Script(deltas=[{"content": part} for part in parts], message={"content": "".join(parts)})


def _calls() -> list[Document]:
    deltas = []
    for index, (call_id, name, arguments) in enumerate(CALLS):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
        for at in range(0, len(arguments), _PIECE):
            part = {"arguments": arguments[at : at + _PIECE]}
            deltas.append({"tool_calls": [{"index": index, "function": part}]})
    return deltas
