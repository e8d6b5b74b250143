"""The two applications of a replica: its API, and its metrics."""

import time
from typing import Final

from aiohttp import web

from tokenflow_api.codec import MAX_ENCODED_BYTES
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api import cluster, hints, probes, stream, telemetry
from tokenflow_hintsvc.api.endpoint import Endpoint, Handler
from tokenflow_hintsvc.api.service import CALLER, SERVICE, Service
from tokenflow_hintsvc.observability import trace
from tokenflow_hintsvc.problems import CONTENT_TYPE, ProblemError

# Fixed paths stand before templates that they would match.
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *telemetry.ENDPOINTS,
    *stream.ENDPOINTS,
    *hints.ENDPOINTS,
    *cluster.ENDPOINTS,
    *probes.ENDPOINTS,
)
"""All that the API serves."""

_OTHER_ROUTE: Final = "~other"
_PROBES: Final = frozenset(endpoint.path for endpoint in probes.ENDPOINTS)
"""The kubelet asks these, from any address and without a credential."""


def application(service: Service) -> web.Application:
    """Return the application that serves ``service``."""
    app = web.Application(middlewares=[_measure, _answer_problems, _admit], client_max_size=MAX_ENCODED_BYTES)
    app[SERVICE] = service
    app.add_routes([endpoint.route() for endpoint in ENDPOINTS])
    return app


def metrics_application() -> web.Application:
    """Return the application of the metrics port."""
    app = web.Application()
    app.add_routes([web.get("/metrics", probes.get_metrics)])
    return app


@web.middleware
async def _measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    trace.begin(request.headers.get("traceparent", ""))
    started = time.perf_counter()
    resource = request.match_info.route.resource
    route = resource.canonical if resource else _OTHER_ROUTE
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


@web.middleware
async def _answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProblemError as error:
        return web.Response(
            status=error.status,
            body=error.body(trace_id=trace.trace_id()),
            content_type=CONTENT_TYPE,
            headers=error.headers(),
        )


@web.middleware
async def _admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path not in _PROBES:
        guard = request.app[SERVICE].guard
        request[CALLER] = await guard.admit(
            peer=request.remote or "",
            authorization=request.headers.get("Authorization", ""),
            forwarded_for=",".join(request.headers.getall("X-Forwarded-For", ())),
        )
    return await handler(request)
