"""Room for requests: asked for before they start, settled when they end."""

import math
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitReply, CommitRequest, Refusal
from tokenflow_api.quotas.headers import ratelimit_headers
from tokenflow_api.serving import trace
from tokenflow_hintsvc.api.body import read_body
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import QuotaBusyError, ReservationError
from tokenflow_hintsvc.problems import CONTENT_TYPE, Problem, ProblemError

_STATUSES: Final = {Refusal.TOO_LARGE: 400, Refusal.STORE: 503}
_DETAILS: Final = {
    Refusal.REQUESTS: ("the requests of this minute are used up", "wait, or raise requestsPerMinute"),
    Refusal.TOKENS: ("the tokens of this minute are used up", "wait, ask for fewer, or raise tokensPerMinute"),
    Refusal.STREAMS: ("all streams are open", "wait until one ends, or raise maxConcurrentStreams"),
    Refusal.CAPACITY: (
        "the upstreams are nearly full, and the rest is kept for tenants of a higher priority",
        "wait, raise the tenant's priority, or maxConcurrentRequests of the upstreams",
    ),
    Refusal.TOO_LARGE: ("the request asks for too many tokens", "lower max_tokens, or raise maxTokensPerRequest"),
    Refusal.SHED: ("the GPUs are saturated", "wait: others come first for now"),
    Refusal.STORE: ("the quotas are out of reach, and failureMode is Deny", "wait, and look at the policy's Redis"),
}


class RefusedProblem(Problem):
    """A refusal: a problem that carries the reply as well, so that programs need read one of them only."""

    admission: AdmitReply


async def post_admit(request: web.Request) -> web.Response:
    """Make room for a request, or refuse it."""
    service = request.app[SERVICE]
    asked = await read_body(request, AdmitRequest)
    service.check_readable(service.caller(request), asked.tenant)
    reply = await service.quotas.admit(asked)
    headers = _headers(reply)
    if reply.admitted or reply.refusal is None:
        return web.Response(text=reply.model_dump_json(), content_type="application/json", headers=headers)
    status = _STATUSES.get(reply.refusal, 429)
    detail, remedy = _DETAILS[reply.refusal]
    problem = RefusedProblem(
        title=reply.refusal,
        status=status,
        code=reply.refusal,
        detail=detail,
        remedy=remedy,
        field="max_tokens" if reply.refusal is Refusal.TOO_LARGE else "",
        trace_id=trace.trace_id(),
        admission=reply,
    )
    return web.Response(status=status, text=problem.model_dump_json(), content_type=CONTENT_TYPE, headers=headers)


async def post_commit(request: web.Request) -> web.Response:
    """Settle what a request took."""
    service = request.app[SERVICE]
    done = await read_body(request, CommitRequest)
    try:
        reservation = service.quotas.read(done.reservation)
    except ReservationError as error:
        raise ProblemError(
            400,
            code="BadReservation",
            detail=str(error),
            remedy="send the reservation of the reply to /v1/admit, unchanged",
            field="reservation",
        ) from error
    service.check_readable(service.caller(request), reservation.tenant)
    try:
        reply = await service.quotas.commit(reservation, done)
    except QuotaBusyError as error:
        raise ProblemError(
            503, code="TooManyCommits", detail=str(error), remedy="send the commit again", retry_after_s=1
        ) from error
    return web.Response(
        text=reply.model_dump_json(), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _headers(reply: AdmitReply) -> CIMultiDict[str]:
    """Return the headers that clients of OpenAI's API know."""
    headers = CIMultiDict({"Cache-Control": "no-store"})
    headers.update(ratelimit_headers(requests=reply.requests, tokens=reply.tokens))
    if not reply.admitted and reply.retry_after_ms:
        headers["Retry-After"] = str(math.ceil(reply.retry_after_ms / 1000))
        headers["retry-after-ms"] = str(reply.retry_after_ms)
    return headers


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/admit",
        handler=post_admit,
        summary="Ask for room for one request; a refusal is a 429 with Retry-After, and says which limit it was.",
        body=AdmitRequest,
        reply=AdmitReply,
        problems=(400, 403, 404, 408, 413, 429, 503),
        anonymous=True,
    ),
    Endpoint(
        method="POST",
        path="/v1/commit",
        handler=post_commit,
        summary="Say what an admitted request really took, by whichever replica.",
        body=CommitRequest,
        reply=CommitReply,
        problems=(400, 403, 404, 408, 413, 503),
        anonymous=True,
    ),
)
