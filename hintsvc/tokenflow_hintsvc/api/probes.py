"""Probes of the kubelet, and the metrics."""

import json
from typing import Any, Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE

_STALE_LEADER_S: Final = 5.0


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
            "source": service.configuration.origin,
            "error": service.configuration.error,
        },
        "snapshot": {"ageSeconds": age, "stale": age is None or age > _STALE_LEADER_S},
        "leading": service.leader.term is not None,
    }
    return web.json_response(details, status=200 if ready else 503, dumps=json.dumps)


async def get_metrics(_: web.Request) -> web.Response:
    """Answer in Prometheus' text form."""
    return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


ENDPOINTS: Final = (
    Endpoint(method="GET", path="/healthz", handler=get_healthz, summary="Is the process alive?", public=True),
    Endpoint(
        method="GET",
        path="/readyz",
        handler=get_readyz,
        summary="Does this replica serve, and what does it lack?",
        problems=(503,),
        public=True,
    ),
)
