"""A hint service that says what it is told, on real TCP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tokenflow_api.hints import Hint, HintReply, PathState, Snapshot, Source
from tokenflow_api.modes import Mode


def hint(rate: float, *, tenant: str = "gold", path: str = "*", batch: int = 1, delay_ms: int = 0) -> Hint:
    return Hint(
        tenant=tenant,
        path=path,
        tokens_per_second=rate,
        batch_size=batch,
        batch_delay_ms=delay_ms,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
    )


class FakeHintService:
    """Streams and answers with the hints of ``say``; each side can be taken away.

    ``requests`` has the path and headers of each request, ``streams`` tells whether hints are streamed.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.unchanged = 0
        self.streams = True
        self.reads = True
        self.ttl_ms = 1000
        self._hints: list[Hint] = []
        self._version = 0
        self._news = asyncio.Condition()
        self._cut = asyncio.Event()

    async def say(self, *hints: Hint) -> None:
        async with self._news:
            self._hints = list(hints)
            self._version += 1
            self._news.notify_all()

    def cut(self) -> None:
        """End the streams that are open."""
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.requests if asked == path]

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/hints/stream", self._stream)
        app.router.add_get("/v1/hints/{tenant}", self._read)
        return app

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.headers)))
        if not self.streams:
            return web.Response(status=503, text="no streams today")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        cut = asyncio.ensure_future(self._cut.wait())
        told = 0
        try:
            while not cut.done():
                if told != self._version:
                    told = self._version
                    await response.write(self._event().encode())
                await asyncio.wait([cut, asyncio.ensure_future(self._changed(told))], return_when="FIRST_COMPLETED")
        finally:
            cut.cancel()
        return response

    async def _changed(self, told: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._version != told)

    def _event(self) -> str:
        snapshot = Snapshot(
            term=1,
            version=self._version,
            generation=1,
            at_unix_ms=0,
            ttl_ms=self.ttl_ms,
            health=1.0,
            hints=self._hints,
        )
        return f"id: 1-{self._version}\nevent: snapshot\ndata: {snapshot.model_dump_json()}\n\n"

    async def _read(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers)))
        if not self.reads:
            return web.Response(status=503, text="no reads today")
        etag = f'"1-{self._version}"'
        if request.headers.get("If-None-Match") == etag:
            self.unchanged += 1
            return web.Response(status=304, headers={"ETag": etag})
        told = next(told for told in self._hints if told.tenant == request.match_info["tenant"])
        reply = HintReply(hint=told, generation=1, version=self._version, at_unix_ms=0, ttl_ms=self.ttl_ms)
        return web.json_response(text=reply.model_dump_json(), headers={"ETag": etag})


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def eventually(holds: Callable[[], bool]) -> None:
    # Longer than a circuit rests that failures in quick succession have opened.
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for happens at the other end of a connection
            await asyncio.sleep(0.01)
