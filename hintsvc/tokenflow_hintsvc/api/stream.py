"""A stream of all snapshots, as server-sent events."""

import asyncio
import contextlib
import logging
from typing import Final

from aiohttp import web

from tokenflow_hintsvc.api.endpoint import Endpoint, Parameter
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.view.backlog import keep_short
from tokenflow_hintsvc.view.feed import DRAINING, KEEP_ALIVE, KEEP_ALIVE_S, STREAM_HEADERS, Audience

_log = logging.getLogger(__name__)


async def get_stream(request: web.Request) -> web.StreamResponse:
    """Stream each snapshot, and to gateways the config too, until the replica or the caller's credential ends."""
    service = request.app[SERVICE]
    caller = service.caller(request)
    awake = asyncio.Event()
    subscription = service.feed.subscribe(
        Audience.of(caller), awake.set, last_event_id=request.headers.get("Last-Event-ID", "")
    )
    response = web.StreamResponse(headers=STREAM_HEADERS)
    try:
        if request.transport is not None:
            keep_short(request.transport)
        await response.prepare(request)
        while not service.feed.ended:
            awake.clear()
            caller = service.guard.renew(caller)
            subscription.audience = Audience.of(caller)
            await response.write(subscription.take() or KEEP_ALIVE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await awake.wait()
        await response.write(DRAINING)
    except ConnectionResetError:
        _log.debug("a subscriber left")
    except ProblemError as error:
        _log.info("a stream has ended", extra={"reason": str(error)})
    finally:
        subscription.close()
    return response


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/hints/stream",
        handler=get_stream,
        summary="Follow the hints that the caller may read; gateways are sent the runtime config too.",
        media_type="text/event-stream",
        headers=(
            Parameter(
                name="Last-Event-ID",
                description="id of the last event that the caller has",
                schema={"type": "string"},
            ),
        ),
        anonymous=True,
        problems=(401, 403, 429, 503),
    ),
)
