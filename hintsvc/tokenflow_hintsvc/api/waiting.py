"""What a replica answers before its first runtime config has come: that it lives, and why it does not serve yet."""

import json

from aiohttp import web

from tokenflow_hintsvc.api import probes
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.problems import CONTENT_TYPE, no_config


def waiting_application(configuration: Configuration) -> web.Application:
    """Return the application of the API's port until there is a config."""

    async def get_readyz(_: web.Request) -> web.Response:
        config = {"generation": None, "source": None, "error": configuration.error}
        return web.json_response({"ready": False, "config": config}, status=503, dumps=json.dumps)

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", probes.get_healthz),
            web.get("/readyz", get_readyz),
            web.route("*", "/{path:.*}", _refuse),
        ]
    )
    return app


async def _refuse(_: web.Request) -> web.Response:
    problem = no_config()
    return web.Response(
        status=problem.status, body=problem.body(), content_type=CONTENT_TYPE, headers=problem.headers()
    )
