"""Bodies of requests: bounded in size and time before they are read, validated before they are used."""

import asyncio
from typing import Final, TypeVar

from aiohttp import web
from pydantic import ValidationError

from tokenflow_api._base import WireModel
from tokenflow_hintsvc.problems import ProblemError, too_large

MAX_BYTES: Final = 16 << 10
"""Of a JSON document."""
BODY_S: Final = 10.0
"""Time that a body may take to arrive: slow senders must not hold room."""

WireModelT = TypeVar("WireModelT", bound=WireModel)


async def arrived(request: web.Request, *, most: int) -> bytes:
    """Return a body; no more of it than ``most`` bytes is kept, whatever it announces.

    Raises:
        ProblemError: it does not arrive in time: 408.
        HTTPRequestEntityTooLarge: it has more.
    """
    body = bytearray()
    try:
        # Most bodies arrive with their heads: only the others need a clock.
        async with asyncio.timeout(None if request.content.is_eof() else BODY_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(body))
    except TimeoutError as error:
        raise ProblemError(
            408,
            code="BodyTooSlow",
            detail=f"the body did not arrive within {BODY_S:.0f} s",
            remedy="send it again",
            field="body",
        ) from error
    return bytes(body)


async def read_body(request: web.Request, model: type[WireModelT]) -> WireModelT:
    """Return the document that a request carries.

    Raises:
        ProblemError: it announces too much, is too slow, no JSON, or not such a document: 413, 408 or 400.
        HTTPRequestEntityTooLarge: it is too large.
    """
    if (request.content_length or 0) > MAX_BYTES:
        raise too_large()
    body = await arrived(request, most=MAX_BYTES)
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProblemError(
            400,
            code="BadDocument",
            detail=first["msg"],
            remedy="send the document that /openapi.json describes",
            field=".".join(str(part) for part in first["loc"]) or "body",
        ) from error
