"""What was administered and denied."""

from typing import Final

from aiohttp import web

from tokenflow_api.audit import AuditReply
from tokenflow_api.runtime import Role
from tokenflow_hintsvc.api.endpoint import Endpoint, Parameter
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import ProblemError, store_unavailable

MAX_ENTRIES: Final = 1000
_ENTRIES: Final = 100


async def get_audit(request: web.Request) -> web.Response:
    """Answer with the newest entries of the audit log."""
    service = request.app[SERVICE]
    caller = service.require(request, Role.OPERATOR)
    service.audit.done("GET /v1/audit", subject=caller.subject)
    limit = _limit(request.query.get("limit", f"{_ENTRIES}"))
    try:
        entries = await service.audit_log.newest(limit)
    except StoreError as error:
        raise store_unavailable(error, remedy="ask again later, and look at the policy's Redis") from error
    return web.json_response(text=AuditReply(entries=entries).model_dump_json())


def _limit(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= len(f"{MAX_ENTRIES}") and 1 <= int(text) <= MAX_ENTRIES:
        return int(text)
    raise ProblemError(
        400,
        code="BadLimit",
        detail="limit is no number of entries",
        remedy=f"write a number from 1 to {MAX_ENTRIES}",
        field="limit",
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/audit",
        handler=get_audit,
        summary="Read what was administered and denied, the newest first.",
        reply=AuditReply,
        query=(
            Parameter(
                name="limit",
                description="most entries",
                schema={"type": "integer", "minimum": 1, "maximum": MAX_ENTRIES, "default": _ENTRIES},
            ),
        ),
        problems=(400, 503),
    ),
)
