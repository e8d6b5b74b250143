"""The two applications of a replica: its API, and its metrics."""

import logging
import time
from typing import Final

from aiohttp import hdrs, web

from tokenflow_api.codec import MAX_ENCODED_BYTES
from tokenflow_api.serving import trace
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api import (
    audit,
    cluster,
    debug,
    explain,
    health,
    hints,
    openapi,
    probes,
    quota,
    stream,
    telemetry,
    usage,
)
from tokenflow_hintsvc.api.endpoint import Endpoint, Handler
from tokenflow_hintsvc.api.service import CALLER, SERVICE, Service
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.problems import (
    CONTENT_TYPE,
    ProblemError,
    bad_request,
    internal_error,
    method_not_allowed,
    not_found,
    too_large,
)

_log = logging.getLogger(__name__)

# Fixed paths stand before templates that they would match.
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *telemetry.ENDPOINTS,
    *stream.ENDPOINTS,
    *hints.ENDPOINTS,
    *health.ENDPOINTS,
    *explain.ENDPOINTS,
    *quota.ENDPOINTS,
    *usage.ENDPOINTS,
    *cluster.ENDPOINTS,
    *audit.ENDPOINTS,
    *debug.ENDPOINTS,
    *probes.ENDPOINTS,
    *openapi.ENDPOINTS,
)
"""All that the API serves."""

_OTHER: Final = "~other"
_PUBLIC: Final = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.public)
"""The kubelet asks these, from any address and without a credential."""
_CERTIFIED: Final = frozenset((endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.certified)


def application(service: Service) -> web.Application:
    """Return the application that serves ``service``."""
    app = web.Application(middlewares=[_measure, _answer_problems, _admit], client_max_size=MAX_ENCODED_BYTES)
    app[SERVICE] = service
    app.on_response_prepare.append(_take_leave)
    app[openapi.OPENAPI] = openapi.Document(ENDPOINTS)
    app.add_routes([endpoint.route() for endpoint in ENDPOINTS])
    return app


async def _take_leave(request: web.Request, response: web.StreamResponse) -> None:
    """While the replica drains, say with each answer that the connection ends: the next request goes to another one."""
    if request.app[SERVICE].draining.is_set():
        response.force_close()
        # aiohttp has written its own headers by now.
        response.headers["Connection"] = "close"


def metrics_application() -> web.Application:
    """Return the application of the metrics port."""
    app = web.Application()
    app.add_routes([web.get("/metrics", probes.get_metrics)])
    return app


@web.middleware
async def _measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    of = trace.begin(request.headers.get("traceparent", ""))
    started = time.perf_counter()
    route = _route(request)
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
        took_s = time.perf_counter() - started
        metrics.ANSWERS.add(route, status, seconds=took_s)
        SPANS.answered(of, method=request.method, route=route, status=status, took_s=took_s)


@web.middleware
async def _answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProblemError as error:
        problem = error
    except web.HTTPException as error:
        problem = _problem_of(error)
    except web.RequestPayloadError:
        problem = bad_request("the body is not encoded as its headers say")
    except ConnectionError:
        # The caller has left: there is nobody to answer.
        raise
    except Exception:  # noqa: BLE001 - whatever it was, it is logged and answered here
        _log.exception("a request failed", extra={"method": request.method, "path": request.path})
        problem = internal_error()
    _record(request, problem)
    return web.Response(
        status=problem.status,
        body=problem.body(trace_id=trace.trace_id()),
        content_type=CONTENT_TYPE,
        headers=problem.headers(),
    )


def _record(request: web.Request, problem: ProblemError) -> None:
    caller = request.get(CALLER)
    service = request.app[SERVICE]
    service.audit.refused(
        problem,
        action=f"{request.method if request.method in hdrs.METH_ALL else _OTHER} {_route(request)}",
        subject=caller.subject if caller else "",
        address=service.guard.address(peer=request.remote or "", forwarded_for=_forwarded_for(request)),
    )


def _problem_of(error: web.HTTPException) -> ProblemError:
    match error:
        case web.HTTPNotFound():
            return not_found()
        case web.HTTPMethodNotAllowed():
            return method_not_allowed(error.method, allowed=", ".join(sorted(error.allowed_methods)))
        case web.HTTPRequestEntityTooLarge():
            return too_large()
        case _:
            return bad_request(error.reason)


@web.middleware
async def _admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path not in _PUBLIC:
        guard = request.app[SERVICE].guard
        request[CALLER] = await guard.admit(
            peer=request.remote or "",
            authorization=request.headers.get("Authorization", ""),
            forwarded_for=_forwarded_for(request),
        )
        if (request.method, request.path) in _CERTIFIED:
            _check_certificate(request)
    return await handler(request)


def _check_certificate(request: web.Request) -> None:
    certificates = request.app[SERVICE].certificates
    if certificates is None or not certificates.mutual:
        return
    if request.transport is None or not request.transport.get_extra_info("peercert"):
        raise ProblemError(
            403,
            code="CertificateRequired",
            detail="agents and gateways must show a certificate of the authority in client-ca.crt",
            remedy="mount a client certificate, or take client-ca.crt out of the Secret in spec.security.tlsSecretRef",
        )


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else _OTHER


def _forwarded_for(request: web.Request) -> str:
    return ",".join(request.headers.getall("X-Forwarded-For", ()))
