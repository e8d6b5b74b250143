"""The runtime config in force, and the state of all replicas."""

from typing import Final

from aiohttp import web

from tokenflow_api.hints import ClusterView
from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import store_unavailable


async def get_config(request: web.Request) -> web.Response:
    """Answer with the runtime config."""
    service = request.app[SERVICE]
    service.require(request, Role.GATEWAY)
    return web.json_response(text=service.config().model_dump_json())


async def get_cluster(request: web.Request) -> web.Response:
    """Answer with the state of all replicas."""
    service = request.app[SERVICE]
    service.require(request, Role.OPERATOR)
    try:
        leader = await service.leadership.leader()
        replicas = await service.replicas.all()
        nodes = await service.telemetry.nodes()
    except StoreError as error:
        raise store_unavailable(error, remedy="ask again later, and look at the policy's Redis") from error
    view = ClusterView(
        leader=leader,
        term=service.view.snapshot.term if service.view.snapshot else 0,
        replicas=[replica.model_copy(update={"leader": replica.name == leader}) for replica in replicas],
        nodes=nodes,
        snapshot=service.view.snapshot,
    )
    return web.json_response(text=view.model_dump_json())


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/config",
        handler=get_config,
        summary="Read the runtime config in force.",
        reply=RuntimeConfig,
        problems=(401, 403, 503),
    ),
    Endpoint(
        method="GET",
        path="/v1/cluster",
        handler=get_cluster,
        summary="Read which replicas live, which one leads, and what they serve.",
        reply=ClusterView,
        problems=(401, 403, 503),
    ),
)
