"""Errors as answers: RFC 9457 problem details, each with a code and a remedy."""

import json
from typing import Final

from aiohttp import web

CONTENT_TYPE: Final = "application/problem+json"


def problem(status: int, *, code: str, detail: str, remedy: str, field: str = "") -> web.HTTPException:
    """Return an exception that answers with a problem document.

    Args:
        status: HTTP status, 400 to 599.
        code: CamelCase word that programs can go by.
        detail: what was wrong.
        remedy: what to write or do instead.
        field: where it was wrong.
    """
    document = {"type": "about:blank", "title": code, "status": status, "code": code}
    document |= {"detail": detail, "remedy": remedy} | ({"field": field} if field else {})
    classes: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
        503: web.HTTPServiceUnavailable,
    }
    if status == web.HTTPRequestEntityTooLarge.status_code:
        return web.HTTPRequestEntityTooLarge(
            max_size=0, actual_size=0, text=json.dumps(document), content_type=CONTENT_TYPE
        )
    return classes[status](text=json.dumps(document), content_type=CONTENT_TYPE)
