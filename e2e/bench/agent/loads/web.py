"""An HTTP server: ``PORT LOG`` answers until killed; each request adds a line to the log."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from e2e.bench.agent.loads.requests import PATH

_BODY: Final = json.dumps({"items": list(range(64))})


async def serve(port: int, log: Path) -> None:
    """Answer on ``port`` until killed."""
    with log.open("a", buffering=1) as lines:

        async def answer(request: web.Request) -> web.Response:
            lines.write(f"{request.method} {request.path} 200\n")
            return web.Response(text=_BODY, content_type="application/json")

        app = web.Application()
        app.router.add_get(f"{PATH}/{{item}}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
