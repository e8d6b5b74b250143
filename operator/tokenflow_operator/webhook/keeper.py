"""Keeps the webhook's certificates in a Secret, and tells the API server whom to trust.

The leader renews and tells; the others only read.
"""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tokenflow_operator.election import Leadership
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.kube.kinds import SECRET, VALIDATING_WEBHOOK_CONFIGURATION
from tokenflow_operator.webhook.bundle import Bundle

HOOK: Final = "resources.tokenflow.io"
"""Name of the hook in the ValidatingWebhookConfiguration, which the chart makes."""

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


class Keeper:
    """Looks after the certificates."""

    def __init__(
        self, *, options: WebhookOptions, kube: Kube, leadership: Leadership, now: Callable[[], datetime]
    ) -> None:
        """Look after certificates.

        Args:
            options: where they are kept, and for whom they are.
            kube: its gate keeps all but the leader from writing.
            leadership: whether this replica renews.
            now: the time of day.
        """
        self._options = options
        self._kube = kube
        self._leadership = leadership
        self._now = now

    async def look(self) -> Bundle | None:
        """Return what is to be served; nothing while no leader has made a certificate.

        Raises:
            KubeError: the Secret or the configuration could not be read or written.
            ValueError: the Secret holds what is no certificate.
        """
        secret = await self._kube.get(SECRET, namespace=self._options.namespace, name=self._options.secret)
        bundle = Bundle.of({name: base64.b64decode(value) for name, value in secret.get("data", {}).items()})
        if not self._leadership.leading.is_set():
            return bundle
        from tokenflow_operator.webhook.authority import renewed  # noqa: PLC0415 - large, and only a webhook needs it

        fresh = renewed(bundle, host=self._options.host, now=self._now())
        if bundle is not None and fresh.trusted == bundle.trusted:
            # Nothing is shown before the API server trusts who issued it.
            await self._tell_whom_to_trust(fresh)
        if fresh != bundle:
            await self._keep(secret, fresh)
        await self._tell_whom_to_trust(fresh)
        return fresh

    async def _keep(self, secret: Manifest, bundle: Bundle) -> None:
        data = {name: base64.b64encode(value).decode() for name, value in bundle.data.items()}
        await self._kube.replace(SECRET, {**secret, "data": {**secret.get("data", {}), **data}})
        _log.info("the webhook's certificate was renewed", extra={"kept_in": self._options.secret})

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
