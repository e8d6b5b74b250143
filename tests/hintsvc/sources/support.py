"""An API server that speaks as the real one does."""

import asyncio

from aiohttp import web


class FakeApiServer:
    """Answers watches with what it is told to say, one script per request; the last one stays open."""

    def __init__(self, *scripts: list[bytes], status: int = 200) -> None:
        self.scripts = list(scripts)
        self.status = status
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        response = web.StreamResponse(status=self.status)
        await response.prepare(request)
        for piece in self.scripts.pop(0):
            await response.write(piece)
        if not self.scripts and self.status == 200:
            await asyncio.Event().wait()
        return response
