"""The hint of a tenant or of one of its paths, from memory."""

from typing import Final

from aiohttp import web

from tokenflow_api.hints import ALL_PATHS, HintReply
from tokenflow_hintsvc.api.endpoint import IF_NONE_MATCH, Endpoint, Parameter
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.view.answers import CACHE_CONTROL, check_path


async def get_hint(request: web.Request) -> web.Response:
    """Answer with one hint, or that the caller has it already."""
    service = request.app[SERVICE]
    tenant = service.readable_tenant(request)
    path = check_path(request.query.get("path", ALL_PATHS))
    answer = service.answers.get(tenant, path, service.config())
    headers = {"Cache-Control": CACHE_CONTROL, "ETag": answer.etag}
    if answer.is_known(request.headers.get("If-None-Match", "")):
        return web.Response(status=304, headers=headers)
    return web.Response(body=answer.body, content_type="application/json", headers=headers)


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
                schema={
                    "type": "string",
                    "maxLength": 512,
                    "default": ALL_PATHS,
                    "examples": ["llama/192.0.2.0/24"],
                },
            ),
        ),
        headers=(IF_NONE_MATCH,),
        revalidated=True,
        anonymous=True,
        problems=(400, 401, 403, 404, 503),
    ),
)
