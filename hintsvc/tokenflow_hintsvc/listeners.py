"""The ports of a replica: how they open, and how they close without an error to any client."""

import logging
from typing import Final, Self

from aiohttp import web

from tokenflow_api.serving.acceptor import Acceptor
from tokenflow_api.serving.tls import Certificates
from tokenflow_hintsvc import metrics

_log = logging.getLogger(__name__)

_broken: Final = logging.getLogger("tokenflow_hintsvc.broken")
"""Takes what aiohttp says of requests that are no HTTP: applications answer for all others themselves."""


def _count(_: logging.LogRecord) -> bool:
    """Count a broken request instead of logging it: anyone can send them, and aiohttp's words repeat their headers."""
    metrics.BROKEN.inc()
    return False


_broken.addFilter(_count)

SHUTDOWN_S: Final = 10.0
"""Time that requests which are being answered have to end."""


class Listener:
    """One port with an application behind it."""

    def __init__(self, runner: web.AppRunner, acceptor: Acceptor) -> None:
        self._runner = runner
        self._acceptor = acceptor

    @classmethod
    async def open(cls, app: web.Application, *, host: str, port: int, tls: Certificates | None = None) -> Self:
        """Listen."""
        runner = web.AppRunner(app, access_log=None, logger=_broken, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        server = runner.server
        if server is None:
            raise RuntimeError("a runner that was set up has a server")
        acceptor = Acceptor(host=host, port=port, protocol=server, open_now=lambda: len(server.connections), tls=tls)
        return cls(runner, acceptor)

    async def drain(self) -> None:
        """Take no more connections, and wait for the present ones to end by themselves, for a moment."""
        await self._acceptor.drain()

    async def close(self) -> None:
        """End what is left."""
        await self._acceptor.close()
        await self._runner.cleanup()
