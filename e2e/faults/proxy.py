"""The reverse proxy between a client and its API server."""

import asyncio
import collections
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from e2e.bench.programs import LOOPBACK
from e2e.faults.asked import Asked, asked
from e2e.faults.faults import Answer, Break, Delay, Fault, Forget
from e2e.kubeconfig import access

_HOP_BY_HOP: Final = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
_UPSTREAM: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
_MOST_BYTES: Final = 16 << 20

AfterWrite = Callable[[Asked], Awaitable[None]]


class Proxy:
    """Passes requests on, unless something is wrong.

    Attributes:
        counts: requests by what they are about.
        after_write: awaited after the API server has carried out a write, before the client learns of it.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.counts: collections.Counter[Asked] = collections.Counter()
        self.after_write: AfterWrite | None = None
        self._session = session
        self._faults: dict[Fault, int] = {}
        self._refusing = False
        self._watching: set[asyncio.Transport] = set()

    @property
    def writes(self) -> int:
        """Writes that were asked for."""
        return sum(count for what, count in self.counts.items() if what.writes)

    @contextmanager
    def wrong(self, fault: Fault) -> Iterator[None]:
        """Let something be wrong until the block is left."""
        self._faults[fault] = 0
        try:
            yield
        finally:
            del self._faults[fault]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Break every connection, and every new one at once, until the block is left."""
        self._refusing = True
        self.cut_watches()
        try:
            yield
        finally:
            self._refusing = False

    def cut_watches(self) -> None:
        """Break the connections of all watches."""
        for transport in self._watching:
            transport.abort()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        what = asked(request)
        self.counts[what] += 1
        transport = request.transport
        if transport is None or self._refusing:
            return _broken(transport)
        match self._strikes(what):
            case Answer() as answer:
                headers = {"Retry-After": str(answer.retry_after_s)} if answer.retry_after_s is not None else {}
                return web.Response(
                    status=answer.status, body=answer.body, content_type="application/json", headers=headers
                )
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Break():
                return _broken(transport)
            case Forget():
                await self._pass_on(request, what)
                return _broken(transport)
            case None:
                pass
        return await self._pass_on(request, what)

    def _strikes(self, what: Asked) -> Answer | Delay | Break | Forget | None:
        for fault in self._faults:
            if fault.hits(what):
                self._faults[fault] += 1
                if self._faults[fault] % fault.of == 1 % fault.of:
                    return fault.action
        return None

    async def _pass_on(self, request: web.Request, what: Asked) -> web.StreamResponse:
        headers = CIMultiDict((n, v) for n, v in request.headers.items() if n.lower() not in _HOP_BY_HOP)
        body = await request.read()
        try:
            async with self._session.request(
                request.method, URL(request.raw_path, encoded=True), data=body or None, headers=headers
            ) as answer:
                kept = CIMultiDict((n, v) for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP)
                if what.verb == "watch":
                    return await self._relay(request, answer, kept)
                whole = web.Response(status=answer.status, body=await answer.read(), headers=kept)
                if what.writes and answer.ok and self.after_write is not None:
                    await self.after_write(what)
                return whole
        except aiohttp.ClientError:
            # The API server itself is away, and its clients see just that.
            return _broken(request.transport)

    async def _relay(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        self._watching.add(transport)
        try:
            with contextlib.suppress(ConnectionResetError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
        finally:
            self._watching.discard(transport)
        return response


@asynccontextmanager
async def proxy(kubeconfig: Path, *, through: Path) -> AsyncIterator[Proxy]:
    """Run a proxy on the loopback device until the block is left.

    Args:
        kubeconfig: how it reaches the API server, and as whom.
        through: written, for those who are to go through the proxy.
    """
    known = access(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=known.context, limit=0)
    async with aiohttp.ClientSession(
        known.server, connector=connector, timeout=_UPSTREAM, auto_decompress=False
    ) as session:
        made = Proxy(session)
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", made.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            listener = web.TCPSite(runner, LOOPBACK, 0)
            await listener.start()
            server = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
            await asyncio.to_thread(through.write_text, _kubeconfig(server=server))
            yield made
        finally:
            await runner.cleanup()


def _broken(transport: asyncio.Transport | None) -> web.Response:
    """Break the connection; the response goes nowhere."""
    if transport is not None:
        transport.abort()
    return web.Response(status=502)


def _kubeconfig(*, server: str) -> str:
    """Return a kubeconfig without credentials: the proxy has those."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        }
    )
