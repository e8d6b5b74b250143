"""Sends prompts that begin alike to the same upstream, whose KV cache holds that beginning.

Upstreams are ranked for each prompt by weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and
Schomaker 2005): one more upstream takes its share of the prompts and moves no other. Loads are bounded as in
Mirrokni, Thorup and Zadimoghaddam, *Consistent Hashing with Bounded Loads* (2018): the best ranked one that is below
1.25 times its share of what is under way.
"""

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

PREFIX_BYTES: Final = 1024
"""Enough for prompts of one application to differ from another's, and little enough that those with a long system
prompt in common are alike. Engines cache in blocks of some 16 tokens, so a shorter match would be worth little."""
BOUND: Final = 1.25
_TEXTS: Final = ("prompt", "input")
_DEPTH: Final = 6
"""Of what is looked at in a message: its content, a part of that, an image of that, and its URL."""


def prompt_prefix(request: Mapping[str, Any]) -> bytes | None:
    """Return what tells prompts apart whose beginnings an engine can share; ``None`` without a prompt.

    Of messages it is those up to the first of the user: the further turns of a conversation leave it as it is. No more
    of a prompt is looked at than what is returned.

    Args:
        request: body of a request, of chat, completions, responses or embeddings.
    """
    messages = request.get("messages")
    if isinstance(messages, list):
        return _beginning(_opening(messages))
    for field in _TEXTS:
        text = request.get(field)
        if isinstance(text, str | list):
            opening = _opening(text) if isinstance(text, list) else (text,)
            return _beginning(itertools.chain((request.get("instructions"),), opening))
    return None


def ranked(names: Mapping[str, float], key: bytes) -> list[str]:
    """Return the names, best first for this key.

    Args:
        names: weights by name, above 0.
        key: of any length.
    """
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return sorted(names, key=lambda name: _score(digest, name, names[name]))


def share(weight: float, *, weights: float, in_flight: int) -> int:
    """Return how many requests an upstream takes before the next one in rank is asked.

    Args:
        weight: its own.
        weights: of all together.
        in_flight: requests under way at all of them.
    """
    return math.ceil(BOUND * (in_flight + 1) * weight / weights)


def _opening(messages: Sequence[Any]) -> Iterator[Any]:
    for message in messages:
        yield message
        if isinstance(message, Mapping) and message.get("role") == "user":
            return


def _beginning(values: Iterable[Any]) -> bytes:
    found = bytearray()
    for value in values:
        for text in _texts(value, depth=_DEPTH):
            found += text[:PREFIX_BYTES].encode(errors="surrogatepass") + b"\0"
            if len(found) >= PREFIX_BYTES:
                return bytes(found[:PREFIX_BYTES])
    return bytes(found)


def _texts(value: Any, *, depth: int) -> Iterator[str]:
    """Yield the texts of a JSON value, one at least."""
    if isinstance(value, list | dict):
        yield "{"
        if depth:
            for item in value.values() if isinstance(value, dict) else value:
                yield from _texts(item, depth=depth - 1)
    else:
        yield value if isinstance(value, str) else repr(value)


def _score(digest: bytes, name: str, weight: float) -> float:
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), key=digest, digest_size=8).digest(), "big")
    return -math.log((drawn + 0.5) / 2**64) / weight
