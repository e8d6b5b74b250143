"""A peer: ``PORT FILE`` answers hint reads by aiohttp and uvloop as its documentation would have it.

It answers the bytes of a file for a tenant that it knows, and neither judges, counts nor limits anybody: whoever does
is slower.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from e2e.bench.hintsvc.policy import TENANTS
from e2e.bench.programs import LOOPBACK


async def serve(port: int, body: bytes) -> None:
    """Answer until killed."""
    hints = dict.fromkeys(TENANTS, body)

    async def get_hint(request: web.Request) -> web.Response:
        found = hints.get(request.match_info["tenant"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/hints/{tenant}", get_hint)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
