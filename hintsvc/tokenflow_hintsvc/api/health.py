"""Health of the whole, of the nodes, and of the paths that the caller may read."""

from typing import Final

from aiohttp import web

from tokenflow_api.hints import ALL_PATHS, HealthReply
from tokenflow_api.runtime import Role
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.problems import ProblemError

_CLUSTER_ROLES: Final = frozenset({Role.OPERATOR, Role.GATEWAY})
"""Who may read of nodes and of the model: a tenant learns nothing of the cluster behind its hints."""


async def get_health(request: web.Request) -> web.Response:
    """Answer with the health that the last snapshot tells."""
    service = request.app[SERVICE]
    caller = service.caller(request)
    snapshot = service.view.snapshot
    if snapshot is None:
        raise ProblemError(
            503,
            code="NoSnapshot",
            detail="no leader has published a snapshot yet",
            remedy="wait a second; if it lasts, see GET /readyz and the policy's Redis",
            retry_after_s=1,
        )
    whole = bool(caller.roles & _CLUSTER_ROLES)
    reply = HealthReply(
        health=snapshot.health,
        uncertainty=snapshot.uncertainty,
        at_unix_ms=snapshot.at_unix_ms,
        stale=service.view.tick > 0,
        nodes=snapshot.nodes if whole else [],
        paths=[
            hint
            for hint in (snapshot.shadow if whole else []) or snapshot.hints
            if hint.path != ALL_PATHS and (Role.OPERATOR in caller.roles or caller.may_read(hint.tenant))
        ],
        model=snapshot.model if whole else None,
    )
    return web.json_response(text=reply.model_dump_json(), headers={"Cache-Control": "no-store"})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/health",
        handler=get_health,
        summary="Read the health of the whole, of the nodes, and of the paths that are yours.",
        reply=HealthReply,
        problems=(503,),
        anonymous=True,
    ),
)
