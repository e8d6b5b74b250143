"""The hint of a tenant or of one of its paths, from memory."""

from typing import Final

from aiohttp import web

from tokenflow_api.hints import ALL_PATHS, HintReply
from tokenflow_api.quantities import seconds
from tokenflow_hintsvc.api.endpoint import Endpoint, Parameter
from tokenflow_hintsvc.api.service import SERVICE


async def get_hint(request: web.Request) -> web.Response:
    """Answer with one hint."""
    service = request.app[SERVICE]
    tenant = await service.readable_tenant(request)
    config = service.config()
    snapshot = service.view.snapshot
    reply = HintReply(
        hint=service.view.hint(tenant, request.query.get("path", ALL_PATHS), config),
        generation=config.generation,
        version=snapshot.version if snapshot else 0,
        at_unix_ms=snapshot.at_unix_ms if snapshot else 0,
        ttl_ms=round(seconds(config.spec.pacing.hint_ttl) * 1000),
    )
    return web.json_response(text=reply.model_dump_json(), headers={"Cache-Control": "no-store"})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/hints/{tenant}",
        handler=get_hint,
        summary="Read how fast one stream of the tenant may run, on one path or on any.",
        reply=HintReply,
        query=(
            Parameter(
                name="path",
                description="<upstream>/<destination class>; without it the hint that holds for any path",
                schema={"type": "string", "maxLength": 512, "default": ALL_PATHS},
            ),
        ),
        problems=(401, 403, 404, 503),
    ),
)
