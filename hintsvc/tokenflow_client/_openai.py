"""Copies of openai's clients whose streams are paced.

All endpoints of openai's clients, and all helpers built on them, send their requests by the public method ``post``: it
is the one place to stand in. A copy keeps the type, so that whatever takes such a client takes this one.
"""

from collections.abc import AsyncIterable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast

from tokenflow_client._errors import UsageError

C = TypeVar("C")


def paced_copy(client: C, pace: Callable[[AsyncIterable[Any]], Any]) -> C:
    """Return a copy of an ``AsyncOpenAI`` whose streams go through ``pace``.

    Raises:
        UsageError: it is no such client.
    """
    if not _has(client, "copy", "post", "__aenter__"):
        raise UsageError(f"a TokenFlow wraps an openai.AsyncOpenAI, not a {type(client).__name__}")

    def paced(post: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(post)
        async def paced_post(*arguments: Any, **options: Any) -> Any:
            answer = await post(*arguments, **options)
            return pace(answer) if options.get("stream") and _has(answer, "__aiter__") else answer

        return paced_post

    return _copied(client, paced)


def sync_paced_copy(client: C, pace: Callable[[Iterable[Any]], Any]) -> C:
    """Return a copy of an ``OpenAI`` whose streams go through ``pace``.

    Raises:
        UsageError: it is no such client.
    """
    if not _has(client, "copy", "post", "__enter__"):
        raise UsageError(f"a SyncTokenFlow wraps an openai.OpenAI, not a {type(client).__name__}")

    def paced(post: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(post)
        def paced_post(*arguments: Any, **options: Any) -> Any:
            answer = post(*arguments, **options)
            return pace(answer) if options.get("stream") and _has(answer, "__iter__") else answer

        return paced_post

    return _copied(client, paced)


def _copied(client: C, paced: Callable[[Callable[..., Any]], Callable[..., Any]]) -> C:
    """Return a copy that posts in another way, and whose copies do so too."""
    copied: Any = cast("Any", client).copy()
    copied.post = paced(copied.post)
    copy = copied.copy

    @wraps(copy)
    def copied_again(**options: Any) -> Any:
        another = copy(**options)
        return _copied(another, paced)

    copied.copy = copied.with_options = copied_again
    return cast("C", copied)


def _has(thing: object, *names: str) -> bool:
    return all(hasattr(thing, name) for name in names)
