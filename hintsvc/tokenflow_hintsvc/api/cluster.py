"""The runtime config in force, and the state of all replicas."""

from typing import Final

from aiohttp import web

from tokenflow_api.cluster import ClusterView, KeyExpiry
from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_hintsvc.api.endpoint import IF_NONE_MATCH, Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import store_unavailable
from tokenflow_hintsvc.view.answers import CACHE_CONTROL, is_known
from tokenflow_hintsvc.view.meaning import entity_tag


async def get_config(request: web.Request) -> web.Response:
    """Answer with the runtime config."""
    service = request.app[SERVICE]
    service.require(request, Role.GATEWAY)
    return web.json_response(text=service.config().model_dump_json())


async def get_cluster(request: web.Request) -> web.Response:
    """Answer with the state of all replicas."""
    service = request.app[SERVICE]
    service.require(request, Role.OPERATOR)
    config = service.config()
    try:
        leader = await service.leadership.leader()
        replicas = await service.replicas.all()
        nodes = await service.telemetry.nodes()
        usage = await service.shared_quotas.last_minute([tenant.name for tenant in config.spec.tenants])
    except StoreError as error:
        raise store_unavailable(error, remedy="ask again later, and look at the policy's Redis") from error
    view = ClusterView(
        leader=leader,
        term=service.view.snapshot.term if service.view.snapshot else 0,
        replicas=[replica.model_copy(update={"leader": replica.name == leader}) for replica in replicas],
        nodes=nodes,
        snapshot=service.view.snapshot,
        usage=usage,
        certificate_ends_unix_ms=service.certificates.ends_unix_ms if service.certificates else None,
        certificate_error=service.certificates.refused if service.certificates else "",
        keys=[KeyExpiry(tenant=tenant, ends_unix_ms=end) for tenant, end in sorted(service.guard.keys_end().items())],
        keyless=sorted(service.guard.keyless()),
    )
    tag = entity_tag(view, config)
    headers = {"Cache-Control": CACHE_CONTROL, "ETag": tag}
    if is_known(tag, if_none_match=request.headers.get("If-None-Match", "")):
        return web.Response(status=304, headers=headers)
    return web.json_response(text=view.model_dump_json(), headers=headers)


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
        summary="Read which replicas live, which one leads, what they serve, and what tenants take.",
        reply=ClusterView,
        headers=(IF_NONE_MATCH,),
        revalidated=True,
        problems=(401, 403, 503),
    ),
)
