"""Knows what an event of an upstream carries.

Nearly all events of a stream are deltas: the same JSON around another piece of text. Once one was parsed, the
bytes before and behind its text are a template, and events that begin and end like it, with the inside of a JSON
string in between, are known without being parsed, all that one read brought at once. Their texts stay as they were
written, escapes and all.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from tokenflow_gateway.stream.events import END
from tokenflow_gateway.stream.usage import Usage, told_usage

MAX_TEMPLATES: Final = 8
"""Templates kept per stream: one for each choice, and for text, reasoning and tool calls."""

_DATA: Final = b"data:"
_TEXTS: Final = ("content", "reasoning_content", "reasoning", "refusal")
_INSIDE: Final = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+'
_are_inside: Final = re.compile(_INSIDE + rb"(?:\n" + _INSIDE + rb")*+").fullmatch
_VALUES: Final = {
    name: re.compile(rb'"' + name.encode() + rb'"\s*:\s*"(' + _INSIDE + rb')"')
    for name in (*_TEXTS, "text", "arguments")
}
_VOLATILE: Final = ("choices", "created", "obfuscation", "usage")
"""Fields that may differ between chunks that are merged: a merged chunk has those of its last one."""
_DELTA_EVENT: Final = re.compile(rb"event: ?response\.[a-z_.]+\.delta\n")
_END_EVENT: Final = re.compile(rb"event: ?response\.(?:completed|incomplete|failed)\ndata:([^\n]*)")


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What deltas of one kind share.

    Attributes:
        prefix: the event up to its text.
        suffix: the event from behind its text to its end, the blank line included.
        choice: index of the choice that it belongs to.
        likeness: all of the chunk that deltas must share to be merged.
        between: what stands between the texts of two such events.
        frame: bytes of an event besides its text.
    """

    prefix: bytes
    suffix: bytes
    choice: int
    likeness: str
    between: bytes = field(init=False)
    frame: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "between", self.suffix + self.prefix)
        object.__setattr__(self, "frame", len(self.suffix) + len(self.prefix))


# Neither is frozen, which would make them three times as slow: there is one per token.
@dataclass(slots=True)
class Run:
    """Events that each carry nothing but a piece of text of one choice, and so can be merged.

    Attributes:
        template: what is around the texts.
        texts: the pieces as they are written in JSON, with their escapes; engines send one token in each.
    """

    template: Template
    texts: list[bytes]


@dataclass(slots=True)
class Raw:
    """An event that is passed on as it came, and in its place.

    Attributes:
        event: the event, with its blank line.
        tokens: of the answer that it carries, such as a piece that cannot be merged; 0 for all that is none.
        usage_only: whether it says nothing but what the request took.
    """

    event: bytes
    tokens: int = 0
    usage_only: bool = False


Piece = Run | Raw


class DeltaReader:
    """Reads the events of one stream.

    Attributes:
        usage: what the upstream last said that the request took.
    """

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._templates: list[Template] = []

    def known(self, data: bytes) -> Run | None:
        """Return what ``data`` carries if it is nothing but whole events of one template."""
        for template in self._templates:
            prefix, suffix = template.prefix, template.suffix
            if data.startswith(prefix) and data.endswith(suffix) and len(data) >= template.frame:
                texts = data[len(prefix) : -len(suffix)].split(template.between)
                joined = b"\n".join(texts)
                # A line's end within a text would be an event of another kind between two of these.
                if _are_inside(joined) and joined.count(b"\n") == len(texts) - 1:
                    return Run(template, texts)
        return None

    def read(self, event: bytes) -> Piece:
        """Return what an event, without its blank line, carries."""
        return self.known(event + END) or self._parse(event)

    def _parse(self, event: bytes) -> Piece:
        if not event.startswith(_DATA) or b"\n" in event:
            return self._named(event)
        chunk = _object(event[len(_DATA) :])
        if chunk is None:
            return Raw(event + END)
        usage = told_usage(chunk)
        self.usage = usage or self.usage
        match chunk.get("choices"):
            case [dict(choice)]:
                return self._delta(event, chunk, choice)
            case [_, *_] as choices:
                return Raw(event + END, tokens=sum(_tokens(choice) for choice in choices))
        return Raw(event + END, usage_only=usage is not None and "choices" in chunk)

    def _named(self, event: bytes) -> Raw:
        """Read an event of the responses API: each has a number of its own, so that none can be merged."""
        ended = _END_EVENT.match(event)
        if ended:
            self.usage = told_usage(_object(ended[1]) or {}) or self.usage
        return Raw(event + END, tokens=1 if _DELTA_EVENT.match(event) else 0)

    def _delta(self, event: bytes, chunk: dict[str, Any], choice: dict[str, Any]) -> Piece:
        found = _found(choice)
        template = None
        if found is not None:
            likeness = json.dumps([{k: v for k, v in chunk.items() if k not in _VOLATILE}, found.others])
            template = _template(event + END, found, choice=_index(choice), likeness=likeness)
        if found is None or template is None:
            return Raw(event + END, tokens=_tokens(choice))
        others = (known for known in self._templates if known.likeness != template.likeness)
        self._templates = [template, *others][:MAX_TEMPLATES]
        return Run(template, [event[len(template.prefix) : len(event) + len(END) - len(template.suffix)]])


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        # [DONE], or an engine's own words: not ours to judge.
        return None
    return document if isinstance(document, dict) else None


@dataclass(frozen=True, slots=True)
class _Found:
    """The one piece of text of a choice: the field that it is in, and all else of the choice."""

    field: str
    text: str
    others: list[object]


def _found(choice: dict[str, Any]) -> _Found | None:
    """Return the text of a choice that carries nothing else."""
    # Some engines write the fields that they do not use as null, others leave them out.
    rest = {name: value for name, value in choice.items() if name not in ("index", "delta", "text")}
    if any(rest.values()):
        return None
    match choice:
        case {"delta": dict(delta), **others} if not others.get("text"):
            return _in_delta(delta, [choice.get("index"), rest])
        case {"text": str(text)} if text:
            return _Found("text", text, [choice.get("index"), rest])
    return None


def _in_delta(delta: dict[str, Any], others: list[object]) -> _Found | None:
    filled = {name: value for name, value in delta.items() if value and name != "role"}
    if len(filled) != 1:
        return None
    ((name, value),) = filled.items()
    rest = {key: other for key, other in delta.items() if key != name}
    match name, value:
        case _, str(text) if name in _TEXTS:
            return _Found(name, text, [*others, rest, name])
        case "tool_calls", [{"function": {"arguments": str(text), **function}, **call}] if text:
            # The piece that names the call starts it, and stays by itself.
            if not call.get("id") and not any(function.values()):
                return _Found("arguments", text, [*others, rest, call, function])
    return None


def _template(event: bytes, found: _Found, *, choice: int, likeness: str) -> Template | None:
    """Return the template of an event whose text is in one place only."""
    match list(_VALUES[found.field].finditer(event)):
        case [place] if json.loads(b'"' + place[1] + b'"') == found.text:
            return Template(event[: place.start(1)], event[place.end(1) :], choice, likeness)
    return None


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _tokens(choice: object) -> int:
    """Return the tokens of a choice that is passed on as it came."""
    match choice:
        case {"logprobs": {"content": [_, *_] as told}}:
            return len(told)
        case {"delta": dict(delta)}:
            return int(any(value for name, value in delta.items() if name != "role"))
        case {"text": str(text)}:
            return int(bool(text))
    return 0
