"""What is served inside the cluster alone, on the port of the metrics."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tokenflow_gateway import metrics
from tokenflow_gateway.api.gateway import Gateway
from tokenflow_gateway.errors import GatewayError, NotReadyError
from tokenflow_gateway.identity.administrators import Administrators
from tokenflow_gateway.stream.view import StreamView

MOST_STREAMS: Final = 1000
"""Streams that one answer shows, those with the longest queues first."""

Present = Callable[[], Gateway | None]


def inside_application(present: Present, administrators: Administrators) -> web.Application:
    """Return the application of the metrics port.

    Args:
        present: returns the gateway, once there is a config.
        administrators: who may look at streams.
    """

    async def get_streams(request: web.Request) -> web.Response:
        try:
            gateway = present()
            if gateway is None:
                raise NotReadyError("the gateway has no config yet: look at its /readyz")
            await administrators.check(request.headers.get("Authorization", ""))
        except GatewayError as error:
            return web.Response(
                status=error.status, text=error.body(), content_type="application/json", headers=error.headers()
            )
        views = sorted(gateway.streams.views(), key=lambda view: view.queued_tokens, reverse=True)
        return web.json_response(
            {
                "open": len(views),
                "waiting": gateway.door.queue.waiting,
                "streams": [_stream(view) for view in views[:MOST_STREAMS]],
                "upstreams": [asdict(view) for view in gateway.fleet.view()],
            }
        )

    app = web.Application()
    app.add_routes([web.get("/metrics", _get_metrics), web.get("/debug/streams", get_streams)])
    return app


async def _get_metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _stream(view: StreamView) -> dict[str, object]:
    figures = asdict(view)
    del figures["route"], figures["pace"]
    return {"tenant": view.route.tenant, "path": view.route.path, **asdict(view.pace), **figures}
