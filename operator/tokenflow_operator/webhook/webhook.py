"""Answers the API server, with whatever certificate the keeper has at the moment: a new one needs no restart."""

import asyncio
import json
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tokenflow_operator import metrics
from tokenflow_operator.errors import AdmissionRequestError, KubeError
from tokenflow_operator.snapshot import Known
from tokenflow_operator.webhook.admission import answer, parse
from tokenflow_operator.webhook.bundle import Bundle
from tokenflow_operator.webhook.keeper import Keeper
from tokenflow_operator.webhook.review import review

LOOK_S: Final = 10.0
"""Seconds between two looks at the Secret."""
FIRST_LOOK_S: Final = 1.0
"""The same while there is no certificate yet."""
_MOST_BYTES: Final = 8 << 20
"""An object takes 3 MiB at most, and an edit carries two."""

_log: Final = logging.getLogger(__name__)


class Webhook:
    """Serves the webhook by https."""

    def __init__(self, *, port: int, keeper: Keeper, known: Callable[[], Known | None]) -> None:
        """Make ready.

        Args:
            port: to listen at.
            keeper: of the certificates.
            known: what there is already; nothing before all has been listed.
        """
        self._port = port
        self._keeper = keeper
        self._known = known
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._served: Bundle | None = None

    async def run(self) -> None:
        """Look after the certificate, and serve as soon as there is one, until cancelled."""
        await self._look()
        while self._served is None:
            await asyncio.sleep(FIRST_LOOK_S)
            await self._look()
        async with self._serving():
            while True:
                await asyncio.sleep(LOOK_S)
                await self._look()

    async def validate(self, request: web.Request) -> web.Response:
        """Answer one AdmissionReview."""
        try:
            asked = parse(json.loads(await request.read()))
        # A document that is nested too deep to be read is a RecursionError.
        except (AdmissionRequestError, ValueError, RecursionError) as error:
            metrics.REVIEWS.labels(result="malformed").inc()
            return web.json_response({"message": str(error)}, status=400)
        known = self._known()
        if known is None:
            # Not knowing the others is no reason to refuse: with failurePolicy Fail, a 503 leaves it to that.
            metrics.REVIEWS.labels(result="unready").inc()
            return web.json_response({"message": "not all resources are known yet: try again"}, status=503)
        verdict = review(asked, known)
        metrics.REVIEWS.labels(result="refused" if verdict.refusal else "allowed").inc()
        if verdict.refusal:
            _log.info("refused", extra={"key": str(asked.key), "cause": verdict.refusal})
        return web.json_response(answer(asked, verdict))

    async def _look(self) -> None:
        try:
            bundle = await self._keeper.look()
            if bundle is not None and bundle != self._served:
                self._show(bundle)
        except KubeError as error:
            metrics.CERTIFICATE_FAILURES.inc()
            _log.warning("the webhook's certificate was not looked after", extra={"cause": str(error)})
        except Exception:  # noqa: BLE001 - whatever somebody put into the Secret, the operator goes on
            metrics.CERTIFICATE_FAILURES.inc()
            _log.exception("the webhook's certificate was not looked after")

    def _show(self, bundle: Bundle) -> None:
        """Let new connections be served with another certificate; those that are open stay."""
        with open(os.memfd_create("webhook"), "wb") as file:  # noqa: PTH123 - it has no path, and never lies on a disk
            file.write(bundle.certificate + bundle.key)
            file.flush()
            self._context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        self._served = bundle

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=_MOST_BYTES)
        app.add_routes([web.post("/validate", self.validate)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, port=self._port, ssl_context=self._context).start()
            _log.info("the webhook is served", extra={"port": self._port})
            yield
        finally:
            await runner.cleanup()
