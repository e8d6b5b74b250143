"""Serves the webhook with a certificate of its own making, which all replicas share in a Secret.

The leader renews it and tells the API server whom to trust; every replica takes a new one in without a restart.
"""

import asyncio
import base64
import json
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from tokenflow_operator import metrics
from tokenflow_operator.election import Leadership
from tokenflow_operator.errors import AdmissionRequestError, KubeError
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.kube.kinds import SECRET, VALIDATING_WEBHOOK_CONFIGURATION
from tokenflow_operator.snapshot import Known
from tokenflow_operator.webhook.admission import answer, parse
from tokenflow_operator.webhook.authority import Bundle, renewed
from tokenflow_operator.webhook.review import review

HOOK: Final = "resources.tokenflow.io"
"""Name of the hook in the ValidatingWebhookConfiguration, which the chart makes."""
LOOK_S: Final = 10.0
"""Seconds between two looks at the Secret."""
FIRST_LOOK_S: Final = 1.0
"""The same while there is no certificate yet."""
_MOST_BYTES: Final = 8 << 20
"""An object takes 3 MiB at most, and an edit carries two."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookOptions:
    """How the webhook is served.

    Attributes:
        host: name or address by which the API server calls, for the certificate.
        port: to listen at.
        namespace: of the Secret.
        secret: keeps the certificates; it must exist.
        configuration: the ValidatingWebhookConfiguration to tell whom to trust.
    """

    host: str
    port: int
    namespace: str
    secret: str
    configuration: str


class Webhook:
    """Answers the API server, and keeps its certificate fresh."""

    def __init__(
        self,
        *,
        options: WebhookOptions,
        kube: Kube,
        leadership: Leadership,
        known: Callable[[], Known | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Make ready.

        Args:
            options: how it is served.
            kube: keeps the Secret and the configuration; its gate keeps all but the leader from writing.
            leadership: whether this replica renews.
            known: what there is already; nothing before all has been listed.
            now: the time of day.
        """
        self._options = options
        self._kube = kube
        self._leadership = leadership
        self._known = known
        self._now = now
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
            secret = await self._kube.get(SECRET, namespace=self._options.namespace, name=self._options.secret)
            bundle = Bundle.of({name: base64.b64decode(value) for name, value in secret.get("data", {}).items()})
            if self._leadership.leading.is_set():
                # Nothing is issued before the API server trusts who issues it.
                if bundle is not None:
                    await self._tell_whom_to_trust(bundle)
                bundle = await self._renew(secret, bundle)
                await self._tell_whom_to_trust(bundle)
            if bundle is not None and bundle != self._served:
                self._show(bundle)
        except KubeError as error:
            metrics.CERTIFICATE_FAILURES.inc()
            _log.warning("the webhook's certificate was not looked after", extra={"cause": str(error)})
        except Exception:  # noqa: BLE001 - whatever somebody put into the Secret, the operator goes on
            metrics.CERTIFICATE_FAILURES.inc()
            _log.exception("the webhook's certificate was not looked after")

    async def _renew(self, secret: Manifest, bundle: Bundle | None) -> Bundle:
        fresh = renewed(bundle, host=self._options.host, now=self._now())
        if fresh != bundle:
            data = {name: base64.b64encode(value).decode() for name, value in fresh.data.items()}
            await self._kube.replace(SECRET, {**secret, "data": {**secret.get("data", {}), **data}})
            _log.info("the webhook's certificate was renewed", extra={"kept_in": self._options.secret})
        return fresh

    async def _tell_whom_to_trust(self, bundle: Bundle) -> None:
        name = self._options.configuration
        trusted = base64.b64encode(bundle.trusted).decode()
        present = await self._kube.get(VALIDATING_WEBHOOK_CONFIGURATION, namespace="", name=name)
        hooks = {hook["name"]: hook["clientConfig"].get("caBundle") for hook in present.get("webhooks", [])}
        if hooks.get(HOOK) != trusted:
            await self._kube.apply(
                VALIDATING_WEBHOOK_CONFIGURATION,
                {
                    "apiVersion": VALIDATING_WEBHOOK_CONFIGURATION.api_version,
                    "kind": VALIDATING_WEBHOOK_CONFIGURATION.kind,
                    "metadata": {"name": name},
                    "webhooks": [{"name": HOOK, "clientConfig": {"caBundle": trusted}}],
                },
                force=True,
            )

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
            await web.TCPSite(runner, port=self._options.port, ssl_context=self._context).start()
            _log.info("the webhook is served", extra={"port": self._options.port})
            yield
        finally:
            await runner.cleanup()
