"""What is served under which path, and to whom."""

import asyncio
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from tokenflow_api.pacing_policy import UnknownPaths
from tokenflow_api.serving import trace
from tokenflow_client import HintFollower
from tokenflow_gateway.api import answers
from tokenflow_gateway.api.gateway import CLOCK, Gateway
from tokenflow_gateway.api.generation import generate
from tokenflow_gateway.api.models import describe_model, list_models
from tokenflow_gateway.api.passage import pass_on
from tokenflow_gateway.api.readiness import readiness
from tokenflow_gateway.api.routes import KINDS, MODEL, MODELS, route_of
from tokenflow_gateway.api.visit import Visit
from tokenflow_gateway.configuration import Configuration
from tokenflow_gateway.errors import GatewayError, MethodNotAllowedError, NotReadyError, UnknownRouteError
from tokenflow_gateway.front.exchange import Answer, Request
from tokenflow_gateway.telling.tellings import LEFT

_ANONYMOUS: Final = "anonymous"
_DENIALS: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


class Site:
    """Answers all requests that come to the gateway's port.

    Args:
        configuration: of the gateway.
        follower: of the hints.

    Attributes:
        gateway: that serves readers, once there is a config.
    """

    def __init__(self, configuration: Configuration, follower: HintFollower) -> None:
        self._configuration = configuration
        self._follower = follower
        self.gateway: Gateway | None = None

    async def __call__(self, request: Request, answer: Answer) -> None:
        """Answer one request."""
        match request.path:
            case "/healthz":
                answers.document(answer, {"status": "ok"})
            case "/readyz":
                details = readiness(self._configuration, self._follower, self.gateway)
                answers.document(answer, details, status=200 if details["ready"] else 503)
            case _:
                await self._serve(request, answer)

    async def _serve(self, request: Request, answer: Answer) -> None:
        of, visit, received_at = trace.begin(request.headers.get("traceparent", "")), None, CLOCK()
        try:
            gateway = self._present()
            identity = await gateway.guard.identify(request, gateway.config)
            visit = Visit(request=request, answer=answer, identity=identity, trace=of, received_at=received_at)
            await _answer(gateway, visit)
        except GatewayError as error:
            if self.gateway is not None:
                _record(self.gateway, request, visit, error)
            answers.refusal(answer, error, trace_id=of.trace_id)
        except (asyncio.CancelledError, ConnectionResetError):
            if self.gateway and visit and not visit.telling:
                self.gateway.tellings.answered(visit.identity.tenant, route_of(request.path), LEFT)
            raise
        except Exception:
            if visit and visit.telling:
                visit.telling.end(status=GatewayError.status, code=GatewayError.code)
            raise
        finally:
            if visit and visit.telling:
                visit.telling.left()

    def _present(self) -> Gateway:
        if self.gateway is None:
            raise NotReadyError("the gateway has no config yet: look at its /readyz, and at the policy's conditions")
        return self.gateway


async def _answer(gateway: Gateway, visit: Visit) -> None:
    request, answer, path = visit.request, visit.answer, visit.request.path
    if path in KINDS:
        _allow(request, "POST")
        await generate(gateway, visit)
        return
    if path == MODELS:
        _allow(request, "GET")
        list_models(gateway, answer)
    elif path.startswith(MODEL):
        _allow(request, "GET")
        describe_model(gateway, answer, unquote(path.removeprefix(MODEL)))
    elif gateway.config.spec.gateway.unknown_paths is UnknownPaths.PASS:
        await pass_on(gateway, visit)
        return
    else:
        raise UnknownRouteError(
            f"{request.method} {path[:256]} is not served (spec.gateway.unknownPaths): ask for one of"
            f" {', '.join((*sorted(KINDS), MODELS))}"
        )
    gateway.tellings.answered(visit.identity.tenant, route_of(path), HTTPStatus.OK)


def _allow(request: Request, method: str) -> None:
    if request.method != method:
        raise MethodNotAllowedError(f"{request.method} is not served here: send a {method}", allowed=method)


def _record(gateway: Gateway, request: Request, visit: Visit | None, error: GatewayError) -> None:
    """Count a refusal once: by what was asked for, by the tenant, or by neither where nobody knows."""
    route = route_of(request.path)
    if visit is None:
        gateway.tellings.refused(route, error.status)
    elif visit.telling is None:
        gateway.tellings.answered(visit.identity.tenant, route, error.status)
    else:
        visit.telling.end(status=error.status, code=error.code)
    if error.status in _DENIALS:
        gateway.audit.denied(
            error.code,
            action=f"{request.method} {route}",
            subject=visit.identity.subject if visit else _ANONYMOUS,
            address=gateway.guard.address(request, gateway.config),
        )
