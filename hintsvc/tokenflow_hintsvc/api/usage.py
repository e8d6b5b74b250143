"""What a tenant used."""

import time
from datetime import datetime
from typing import Final

from aiohttp import web

from tokenflow_api.quota import Cost, UsageReply
from tokenflow_api.runtime import Role
from tokenflow_hintsvc.api.endpoint import Endpoint, Parameter
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import ProblemError, store_unavailable
from tokenflow_hintsvc.quota.usage import HOUR_MS
from tokenflow_hintsvc.store.usage import KEPT_DAYS, Field

_MAX_LENGTH: Final = 40
_MAX_HOURS: Final = KEPT_DAYS * 24


async def get_usage(request: web.Request) -> web.Response:
    """Answer with what a tenant used between two times."""
    service = request.app[SERVICE]
    tenant = request.match_info["tenant"]
    caller = service.caller(request)
    if Role.OPERATOR not in caller.roles or all(known.name != tenant for known in service.config().spec.tenants):
        service.check_readable(caller, tenant)
    now_ms = time.time_ns() // 1_000_000
    to_hour = -(-_time(request, "to", default_ms=now_ms) // HOUR_MS)
    from_hour = _time(request, "from", default_ms=(to_hour - 24) * HOUR_MS) // HOUR_MS
    if not 0 <= to_hour - from_hour <= _MAX_HOURS:
        raise _bad_time("from", f"it must lie before to, and at most {KEPT_DAYS} days before")
    try:
        used = await service.usage.read(tenant, from_hour=from_hour, to_hour=to_hour)
    except StoreError as error:
        raise store_unavailable(error, remedy="ask again later, and look at the policy's Redis") from error
    currencies = sorted({field.currency for field in used if field.currency})
    reply = UsageReply(
        tenant=tenant,
        from_unix_ms=from_hour * HOUR_MS,
        to_unix_ms=to_hour * HOUR_MS,
        requests=used.get(Field("requests"), 0),
        input_tokens=used.get(Field("input_tokens"), 0),
        output_tokens=used.get(Field("output_tokens"), 0),
        duration_ms=used.get(Field("duration_ms"), 0),
        costs=[
            Cost(
                currency=currency,
                input_micros=used.get(Field("input_micros", currency), 0),
                output_micros=used.get(Field("output_micros", currency), 0),
            )
            for currency in currencies
        ],
    )
    return web.Response(
        text=reply.model_dump_json(), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _time(request: web.Request, name: str, *, default_ms: int) -> int:
    written = request.query.get(name)
    if written is None:
        return default_ms
    if len(written) > _MAX_LENGTH:
        raise _bad_time(name, f"it has more than {_MAX_LENGTH} characters")
    try:
        at = datetime.fromisoformat(written)
    except ValueError as error:
        raise _bad_time(name, "it is no time") from error
    if at.tzinfo is None:
        raise _bad_time(name, "it has no time zone")
    milliseconds = round(at.timestamp() * 1000)
    if milliseconds < 0:
        raise _bad_time(name, "it lies before 1970")
    return milliseconds


def _bad_time(name: str, detail: str) -> ProblemError:
    return ProblemError(
        400,
        code="BadTime",
        detail=detail,
        remedy="write a time of RFC 3339, such as 2026-01-31T00:00:00Z; in a query + is written %2B",
        field=name,
    )


def _parameter(name: str, description: str) -> Parameter:
    return Parameter(
        name=name, description=description, schema={"type": "string", "format": "date-time", "maxLength": _MAX_LENGTH}
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/usage/{tenant}",
        handler=get_usage,
        summary="Read what a tenant used, by whole hours.",
        reply=UsageReply,
        query=(
            _parameter("from", "RFC 3339; rounded down to the hour; without it a day before to"),
            _parameter("to", f"RFC 3339; rounded up to the hour; without it now; at most {KEPT_DAYS} days after from"),
        ),
        problems=(400, 403, 404, 503),
        anonymous=True,
    ),
)
