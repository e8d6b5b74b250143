"""What the agent shows on its own port: metrics, and how well each signal is read."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tokenflow_agent.export import metrics
from tokenflow_api.telemetry import Signal

HEARTBEAT_S: Final = 120.0
"""Age of the last turn of the main loop beyond which it counts as stuck: the longest window, and a compile."""


def application(
    *, signals: Callable[[], Sequence[Signal]], beat: Callable[[], float], clock: Callable[[], float] = time.monotonic
) -> web.Application:
    """Return the application of the agent's port.

    Args:
        signals: called for the state of each signal.
        beat: called for when the main loop last turned, by ``clock``.
        clock: monotonic, in seconds.
    """

    async def healthz(_: web.Request) -> web.Response:
        age = clock() - beat()
        return web.json_response({"windowAgeSeconds": age}, status=200 if age < HEARTBEAT_S else 503)

    async def readyz(_: web.Request) -> web.Response:
        # Degraded is ready: each signal that is read is worth having.
        return web.json_response({"signals": [signal.model_dump(mode="json") for signal in signals()]})

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", figures)])
    return app
