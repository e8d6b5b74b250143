"""The HTTP API of a replica."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tokenflow_api.codec import CONTENT_TYPE, MAX_ENCODED_BYTES, decode
from tokenflow_api.errors import CodecError
from tokenflow_api.hints import ALL_PATHS, ClusterView, HintReply, NodeReport
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_api.telemetry import AgentConfig, BatchReply, Reporter, TelemetryBatch
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.access import Caller, Doorkeeper
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.errors import StoreError, TokenError
from tokenflow_hintsvc.leader import Leader
from tokenflow_hintsvc.problems import problem
from tokenflow_hintsvc.store import Ingested, Store
from tokenflow_hintsvc.view import Subscription, View

_log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 10.0
_STALE_LEADER_S: Final = 5.0
_OUTCOMES: Final = {Ingested.DUPLICATE: "duplicate", Ingested.LATE: "late", Ingested.LATEST: "stored"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(kw_only=True, slots=True)
class Service:
    """What the handlers work with."""

    store: Store
    configuration: Configuration
    view: View
    leader: Leader
    doorkeeper: Doorkeeper
    draining: asyncio.Event

    def config(self) -> RuntimeConfig:
        """Return the config in force.

        Raises:
            HTTPServiceUnavailable: there is none yet.
        """
        if self.configuration.current is None:
            raise problem(
                503,
                code="NoConfig",
                detail="no runtime config has arrived yet",
                remedy="wait; if it lasts, look at /readyz and at the policy's ConfigMap",
            )
        return self.configuration.current

    async def caller(self, request: web.Request) -> Caller:
        """Return who asks.

        Raises:
            HTTPUnauthorized: what they carry proves nothing.
        """
        try:
            return await self.doorkeeper.identify(request.headers.get("Authorization", ""), self.config())
        except TokenError as error:
            raise problem(
                401,
                code="NotAuthenticated",
                detail=str(error),
                remedy="send a valid API key of the tenant, or a projected token of audience tokenflow-hintsvc",
                field="Authorization",
            ) from error

    async def require(self, request: web.Request, *roles: Role) -> None:
        """Make sure that the caller has one of ``roles``.

        Raises:
            HTTPForbidden: they have none of them.
        """
        if not (await self.caller(request)).roles & set(roles):
            raise problem(
                403,
                code="NotAllowed",
                detail=f"this needs the role {' or '.join(roles)}",
                remedy="name the TelemetryAgent in spec.telemetry.agents, or use the operator's service account",
            )


SERVICE: Final = web.AppKey("service", Service)


def application(service: Service) -> web.Application:
    """Return the application that serves ``service``."""
    app = web.Application(middlewares=[_measure], client_max_size=MAX_ENCODED_BYTES)
    app[SERVICE] = service
    app.add_routes(
        [
            web.post("/v1/telemetry", post_telemetry),
            web.get("/v1/hints/stream", get_stream),
            web.get("/v1/hints/{tenant}", get_hint),
            web.get("/v1/config", get_config),
            web.get("/v1/cluster", get_cluster),
            web.get("/healthz", get_healthz),
            web.get("/readyz", get_readyz),
            web.get("/metrics", get_metrics),
        ]
    )
    return app


def metrics_application() -> web.Application:
    """Return the application of the metrics port."""
    app = web.Application()
    app.add_routes([web.get("/metrics", get_metrics)])
    return app


@web.middleware
async def _measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    started = time.perf_counter()
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "~other"
    status = 500
    try:
        response = await handler(request)
    except web.HTTPException as error:
        status = error.status
        raise
    else:
        status = response.status
        return response
    finally:
        metrics.REQUESTS.labels(route, status).inc()
        metrics.LATENCY.labels(route).observe((time.perf_counter() - started) * 1000)


async def post_telemetry(request: web.Request) -> web.Response:
    """Take in a batch of an agent or a gateway."""
    service = request.app[SERVICE]
    if (request.content_length or 0) > MAX_ENCODED_BYTES:
        raise _too_large()
    await service.require(request, Role.AGENT, Role.GATEWAY)
    config = service.config()
    try:
        body = await request.read()
        batch = decode(body, TelemetryBatch)
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except CodecError as error:
        metrics.BATCHES.labels("rejected").inc()
        raise problem(
            400,
            code="BadTelemetry",
            detail=str(error),
            remedy=f"send msgpack compressed by zstd ({CONTENT_TYPE}), of a schema this version knows",
            field="body",
        ) from error
    # Only gateways may speak for streams: an agent's token is on every node.
    await service.require(request, Role.GATEWAY if batch.reporter is Reporter.GATEWAY else Role.AGENT)
    ttl_ms = round(seconds(config.spec.telemetry.stale_after) * 1000)
    at_ms = batch.sent_at_unix_ms + batch.clock_offset_ms
    try:
        ingested = await service.store.ingest(
            reporter=f"{batch.reporter}:{batch.agent}:{batch.node}",
            boot_id=batch.boot_id,
            sequence=batch.sequence,
            batch=body,
            at_ms=at_ms,
            stale=batch.clock_error_ms is not None and _now_unix_ms() - at_ms > ttl_ms + batch.clock_error_ms,
            ttl_ms=ttl_ms,
        )
        if ingested is Ingested.LATEST and batch.reporter is Reporter.AGENT:
            await service.store.report_node(
                NodeReport(agent=batch.agent, node=batch.node, at_unix_ms=_now_unix_ms(), signals=batch.signals)
            )
    except StoreError as error:
        metrics.BATCHES.labels("failed").inc()
        raise problem(
            503, code="StoreUnavailable", detail=str(error), remedy="keep the batch and send it again later"
        ) from error
    metrics.BATCHES.labels(_OUTCOMES[ingested]).inc()
    reply = BatchReply(
        sequence=batch.sequence,
        duplicate=ingested is Ingested.DUPLICATE,
        received_at_unix_ms=_now_unix_ms(),
        config=_agent_config(config, batch.agent),
    )
    return web.json_response(text=reply.model_dump_json())


def _agent_config(config: RuntimeConfig, agent: str) -> AgentConfig | None:
    return next((known for known in config.agents if f"{known.namespace}/{known.name}" == agent), None)


def _too_large() -> web.HTTPException:
    metrics.BATCHES.labels("rejected").inc()
    return problem(
        413,
        code="BatchTooLarge",
        detail=f"a batch may have at most {MAX_ENCODED_BYTES} bytes",
        remedy="send fewer windows at once",
        field="body",
    )


async def get_hint(request: web.Request) -> web.Response:
    """Answer with one hint, from memory."""
    service = request.app[SERVICE]
    config = service.config()
    tenant = request.match_info["tenant"]
    caller = await service.caller(request)
    known = any(entry.name == tenant for entry in config.spec.tenants)
    if not known or not caller.may_read(tenant, config):
        # The same answer for both: nobody learns which tenants there are.
        raise problem(
            404 if caller.roles else 403,
            code="TenantNotReadable",
            detail=f"no tenant {tenant!r} whose hints this caller may read",
            remedy="send an API key of the tenant, or add it under spec.tenants of the PacingPolicy",
            field="tenant",
        )
    snapshot = service.view.snapshot
    reply = HintReply(
        hint=service.view.hint(tenant, request.query.get("path", ALL_PATHS), config),
        generation=config.generation,
        version=snapshot.version if snapshot else 0,
        at_unix_ms=snapshot.at_unix_ms if snapshot else 0,
        ttl_ms=round(seconds(config.spec.pacing.hint_ttl) * 1000),
    )
    return web.json_response(text=reply.model_dump_json(), headers={"Cache-Control": "no-store"})


async def get_stream(request: web.Request) -> web.StreamResponse:
    """Stream each snapshot, and to gateways the config too."""
    service = request.app[SERVICE]
    caller = await service.caller(request)
    subscription = service.view.subscribe()
    if subscription is None:
        raise problem(503, code="TooManyStreams", detail="too many open streams", remedy="try again in a minute")
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        if Role.GATEWAY in caller.roles:
            # Read anew: a generation may have come while the response was prepared.
            subscription.offer_config(service.config())
        while not service.draining.is_set():
            await response.write(await _next_events(subscription, caller, service))
    except ConnectionResetError:
        _log.debug("a subscriber left")
    finally:
        service.view.unsubscribe(subscription)
    return response


async def _next_events(subscription: Subscription, caller: Caller, service: Service) -> bytes:
    drained = asyncio.create_task(service.draining.wait())
    taken = asyncio.create_task(subscription.take(timeout_s=HEARTBEAT_S))
    try:
        await asyncio.wait({drained, taken}, return_when=asyncio.FIRST_COMPLETED)
        if not taken.done():
            return b": draining\n\n"
        config, snapshot = taken.result()
    finally:
        drained.cancel()
        taken.cancel()
    events = []
    if config is not None and Role.GATEWAY in caller.roles:
        events.append(_event("config", f"{config.generation}", config.model_dump_json()))
    if snapshot is not None:
        present = service.config()
        readable = [hint for hint in snapshot.hints if caller.may_read(hint.tenant, present)]
        document = snapshot.model_copy(update={"hints": readable}).model_dump_json()
        events.append(_event("snapshot", f"{snapshot.term}-{snapshot.version}", document))
    return b"".join(events) or b": keep-alive\n\n"


def _event(name: str, identifier: str, data: str) -> bytes:
    return f"event: {name}\nid: {identifier}\ndata: {data}\n\n".encode()


async def get_config(request: web.Request) -> web.Response:
    """Answer with the runtime config."""
    service = request.app[SERVICE]
    await service.require(request, Role.GATEWAY)
    return web.json_response(text=service.config().model_dump_json())


async def get_cluster(request: web.Request) -> web.Response:
    """Answer with the state of all replicas."""
    service = request.app[SERVICE]
    await service.require(request, Role.OPERATOR)
    try:
        leader = await service.store.leader()
        replicas = await service.store.replicas()
        nodes = await service.store.nodes()
    except StoreError as error:
        raise problem(503, code="StoreUnavailable", detail=str(error), remedy="look at the policy's Redis") from error
    view = ClusterView(
        leader=leader,
        term=service.view.snapshot.term if service.view.snapshot else 0,
        replicas=[replica.model_copy(update={"leader": replica.name == leader}) for replica in replicas],
        nodes=nodes,
        snapshot=service.view.snapshot,
    )
    return web.json_response(text=view.model_dump_json())


async def get_healthz(_: web.Request) -> web.Response:
    """Answer that the event loop turns."""
    return web.json_response({"status": "ok"})


async def get_readyz(request: web.Request) -> web.Response:
    """Answer whether this replica serves, and what it lacks.

    Without Redis or a leader it is ready still: it serves hints that drift to the fallback.
    """
    service = request.app[SERVICE]
    age = service.view.age_s
    config = service.configuration.current
    ready = config is not None and age is not None and not service.draining.is_set()
    details: dict[str, Any] = {
        "ready": ready,
        "draining": service.draining.is_set(),
        "config": {
            "generation": config.generation if config else None,
            "source": service.configuration.source,
            "error": service.configuration.error,
        },
        "snapshot": {"ageSeconds": age, "stale": age is None or age > _STALE_LEADER_S},
        "leading": service.leader.term is not None,
    }
    return web.json_response(details, status=200 if ready else 503, dumps=json.dumps)


async def get_metrics(_: web.Request) -> web.Response:
    """Answer in Prometheus' text form."""
    return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _now_unix_ms() -> int:
    return time.time_ns() // 1_000_000
