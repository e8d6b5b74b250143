"""How a tenant's rates came about: inputs, terms, and each step from the law to the hint."""

from typing import Final

from aiohttp import web

from tokenflow_api.hints import ExplainReply
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import ProblemError, store_unavailable


async def get_explanation(request: web.Request) -> web.Response:
    """Answer with the explanations of the leader's last rounds."""
    service = request.app[SERVICE]
    tenant = service.readable_tenant(request)
    try:
        explained = await service.explanations.of(tenant)
    except StoreError as error:
        raise store_unavailable(error, remedy="hints are served all the same; look at the policy's Redis") from error
    if explained is None:
        raise ProblemError(
            503,
            code="NotExplained",
            detail=f"no leader has explained the hints of {tenant!r} within the last minute",
            remedy="wait a second; if it lasts, see GET /v1/cluster for the leader, and its log",
            retry_after_s=1,
        )
    return web.Response(body=explained, content_type="application/json", headers={"Cache-Control": "no-store"})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/explain/{tenant}",
        handler=get_explanation,
        summary="Read how the rates of the tenant's paths came about.",
        reply=ExplainReply,
        problems=(404, 503),
        anonymous=True,
    ),
)
