"""Changes single fields of a body; every other byte of it stays as it came."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from tokenflow_gateway.identity.bounds import Asked
from tokenflow_gateway.identity.kinds import Kind

_DECODER: Final = json.JSONDecoder()
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_SPACE: Final = " \t\n\r"


class _Field(NamedTuple):
    name: str
    value: Any
    begin: int
    end: int


def with_usage(body: bytes, asked: Asked) -> bytes:
    """Return a body that makes the stream tell its usage, where it would not by itself."""
    if not asked.stream or asked.wants_usage or asked.kind not in (Kind.CHAT, Kind.COMPLETIONS):
        return body
    return _changed(
        body, "stream_options", lambda options: (options or {}) | {"include_usage": True}, given=asked.given
    )


def with_max_tokens(body: bytes, asked: Asked, *, most: int) -> bytes:
    """Return a body whose completions have at most ``most`` tokens each; a lower limit of the reader's stays."""
    limits = tuple(asked.kind.limits)
    if not limits or (asked.max_tokens is not None and asked.max_tokens <= most):
        return body
    for name in [name for name in limits if name in asked.given] or limits[:1]:
        body = _changed(body, name, lambda present: most if present is None else min(present, most), given=asked.given)
    return body


def _changed(body: bytes, name: str, change: Callable[[Any], Any], *, given: frozenset[str]) -> bytes:
    """Return a JSON object with one field changed, or added.

    Args:
        body: the object, known to be one with at least one field.
        name: of the field.
        change: returns the new value; it is called with the present one, ``None`` without one.
        given: names of fields that are there, this one among them if it is.
    """
    if name not in given:
        head = body[: body.rindex(b"}")]
        return b"%b,%b:%b}" % (head, _encoded(name), _encoded(change(None)))
    text = body.decode()
    parts, copied = [], 0
    for found in _fields(text):
        # Whoever reads it may go by the first of several, or by the last.
        if found.name == name:
            parts += [text[copied : found.begin].encode(), _encoded(change(found.value))]
            copied = found.end
    return b"".join([*parts, text[copied:].encode()])


def _fields(text: str) -> Iterator[_Field]:
    """Yield the fields of a JSON object, and where their values stand."""
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begin = _after_space(text, _after_space(text, at) + 1)
        value, end = _DECODER.raw_decode(text, begin)
        yield _Field(name, value, begin, end)
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _encoded(value: object) -> bytes:
    return _ENCODER.encode(value).encode()
