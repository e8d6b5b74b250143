"""Splits an upstream's bytes into events, and merges consecutive deltas into one."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_EVENT_BYTES: Final = 1 << 20
_DATA: Final = b"data:"


@dataclass(frozen=True, slots=True)
class Raw:
    """An event that is passed on as it came."""

    event: bytes


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
    def like(self) -> tuple[object, ...]:
        """What two deltas must share to be merged."""
        choice = self.chunk["choices"][0]
        others = {key: value for key, value in self.chunk.items() if key not in ("choices", "created")}
        return json.dumps(others, sort_keys=True), choice.get("index")


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
        self._held += data.replace(b"\r\n", b"\n")
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
    except ValueError:
        # [DONE], or an engine's own words: not ours to judge.
        return Raw(event)
    match chunk:
        case {"choices": [{"delta": {"content": str(content), **others}, **choice}]} if content and not others:
            plain = choice.get("finish_reason") is None and choice.get("logprobs") is None
            if plain and chunk.get("usage") is None:
                return Delta(event, chunk, content)
    return Raw(event)


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
    content = "".join(delta.content for delta in run)
    choice = {**first["choices"][0], "delta": {"content": content}}
    document = {**first, "choices": [choice]}
    return b"data: " + json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"
