"""Small JSON bodies: bounded before they are read, validated before they are used."""

from typing import Final, TypeVar

from aiohttp import web
from pydantic import ValidationError

from tokenflow_api._base import WireModel
from tokenflow_hintsvc.problems import ProblemError, too_large

MAX_BYTES: Final = 16 << 10

WireModelT = TypeVar("WireModelT", bound=WireModel)


async def read_body(request: web.Request, model: type[WireModelT]) -> WireModelT:
    """Return the document that a request carries.

    Raises:
        ProblemError: it is too large, no JSON, or not such a document: 413 or 400.
    """
    if (request.content_length or 0) > MAX_BYTES:
        raise too_large()
    body = await request.read()
    if len(body) > MAX_BYTES:
        raise too_large()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProblemError(
            400,
            code="BadDocument",
            detail=first["msg"],
            remedy="send the document that /openapi.json describes",
            field=".".join(str(part) for part in first["loc"]) or "body",
        ) from error
