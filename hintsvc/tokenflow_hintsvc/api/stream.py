"""A stream of all snapshots, as server-sent events."""

import asyncio
import logging
from typing import Final

from aiohttp import web

from tokenflow_api.runtime import Role
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE, Service
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.view import Subscription

_log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 10.0


async def get_stream(request: web.Request) -> web.StreamResponse:
    """Stream each snapshot, and to gateways the config too."""
    service = request.app[SERVICE]
    caller = await service.caller(request)
    subscription = service.view.subscribe()
    if subscription is None:
        raise ProblemError(503, code="TooManyStreams", detail="too many open streams", remedy="try again in a minute")
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
        readable = [hint for hint in snapshot.hints if caller.may_read(hint.tenant)]
        document = snapshot.model_copy(update={"hints": readable}).model_dump_json()
        events.append(_event("snapshot", f"{snapshot.term}-{snapshot.version}", document))
    return b"".join(events) or b": keep-alive\n\n"


def _event(name: str, identifier: str, data: str) -> bytes:
    return f"event: {name}\nid: {identifier}\ndata: {data}\n\n".encode()


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/hints/stream",
        handler=get_stream,
        summary="Follow the hints that the caller may read; gateways are sent the runtime config too.",
        media_type="text/event-stream",
        problems=(401, 503),
    ),
)
