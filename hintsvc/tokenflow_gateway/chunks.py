"""Splits an upstream's bytes into events, and merges consecutive deltas into one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_EVENT_BYTES: Final = 1 << 20
_DATA: Final = b"data:"


@dataclass(frozen=True, slots=True)
class Raw:
    """An event that is passed on as it came.

    Attributes:
        event: the event.
        tokens: 1 when it carries a part of the answer, such as a piece of a tool call; else 0.
    """

    event: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """A chunk that carries nothing but a piece of text of one choice, and so can be merged with its like.

    Attributes:
        event: the event as it came.
        chunk: its JSON document.
        content: the piece of text.
    """

    event: bytes
    chunk: dict[str, Any]
    content: str

    @property
    def tokens(self) -> int:
        """Tokens in it: engines send one per chunk."""
        return 1

    @property
    def like(self) -> tuple[object, ...]:
        """What two deltas must share to be merged."""
        others = {key: value for key, value in self.chunk.items() if key not in ("choices", "created")}
        return others, self.chunk["choices"][0].get("index")


Item = Raw | Delta


class Splitter:
    """Cuts a byte stream at blank lines; holds one unfinished event of at most ``MAX_EVENT_BYTES``."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[Item]:
        """Yield the events that ``data`` completes.

        Raises:
            ValueError: an event is above the bound.
        """
        # Joined first: the network may have cut between the two bytes of a line's end.
        self._held = (self._held + data).replace(b"\r\n", b"\n")
        *events, self._held = self._held.split(b"\n\n")
        if len(self._held) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is above {MAX_EVENT_BYTES} bytes")
        for event in events:
            if event:
                yield parse(event + b"\n\n")

    def rest(self) -> bytes:
        """Return what was left unfinished at the end of the stream."""
        held, self._held = self._held, b""
        return held


def parse(event: bytes) -> Item:
    """Return the event as a delta where it is nothing more, else as it is."""
    if not event.startswith(_DATA) or event.count(b"\n") != len(b"\n\n"):
        return Raw(event)
    try:
        chunk = json.loads(event[len(_DATA) :])
    except (ValueError, RecursionError):
        # [DONE], or an engine's own words: not ours to judge.
        return Raw(event)
    match chunk:
        case {"choices": [{"delta": {"content": str(content), **others}, **choice}]} if content:
            choice.pop("index", None)
            # Some engines write the fields that they do not use as null, others leave them out.
            if _empty(others) and _empty(choice) and chunk.get("usage") is None:
                return Delta(event, chunk, content)
    return Raw(event, tokens=_tokens(chunk))


def _empty(fields: Mapping[Any, object]) -> bool:
    return all(value is None for value in fields.values())


def _tokens(chunk: object) -> int:
    match chunk:
        case {"choices": [{"delta": dict(delta)}, *_]}:
            return int(any(value for key, value in delta.items() if key != "role"))
    return 0


def merge(items: Sequence[Item]) -> bytes:
    """Return the items as bytes, neighbours of a kind merged; the text of each choice stays the same."""
    merged: list[bytes] = []
    run: list[Delta] = []
    for item in items:
        if isinstance(item, Delta) and (not run or run[0].like == item.like):
            run.append(item)
            continue
        merged.append(_joined(run))
        run = []
        if isinstance(item, Delta):
            run.append(item)
        else:
            merged.append(item.event)
    return b"".join([*merged, _joined(run)])


def _joined(run: Sequence[Delta]) -> bytes:
    if not run:
        return b""
    if len(run) == 1:
        return run[0].event
    first = run[0].chunk
    choice = first["choices"][0]
    content = "".join(delta.content for delta in run)
    document = {**first, "choices": [{**choice, "delta": {**choice["delta"], "content": content}}]}
    return b"data: " + _encoded(document) + b"\n\n"


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Halves of a surrogate pair, which some engines send apart, can only be written escaped.
        return json.dumps(document, separators=(",", ":")).encode()
