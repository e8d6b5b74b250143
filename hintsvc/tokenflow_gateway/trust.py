"""Which certificates the gateway believes its hint service by, and which it shows there."""

import asyncio
import logging
import ssl
from pathlib import Path

from tokenflow_api.client_tls import client_context
from tokenflow_api.mounted import mark
from tokenflow_gateway.configuration import REREAD_S, Configuration

_log = logging.getLogger(__name__)


class Trust:
    """The context of connections to the hint service: another one, whole, when the policy or the mount says another.

    Whoever connects asks for it each time, so that an authority which was taken out is believed no more. Certificates
    that cannot be read must not keep a gateway from serving: while there were no others, nobody is believed.

    Args:
        configuration: says whom to believe.
        directory: a certificate to show; ``None`` shows none.
    """

    def __init__(self, configuration: Configuration, directory: Path | None) -> None:
        self._configuration = configuration
        self._directory = directory
        self._seen = self._look()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._load()

    def __call__(self) -> ssl.SSLContext:
        """Return the context that holds now."""
        return self._context

    async def run(self) -> None:
        """Look after the certificates, for ever."""
        while True:
            await asyncio.sleep(REREAD_S)
            self.refresh()

    def refresh(self) -> None:
        """Take in what changed; what cannot be read is logged, and the last good ones stay."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._load()

    def _load(self) -> None:
        try:
            self._context = client_context(self._authorities(), directory=self._directory)
        except OSError as error:
            _log.error("certificates of the hint service refused, what held before stays", extra={"reason": str(error)})

    def _look(self) -> object:
        return self._authorities(), mark(self._directory) if self._directory else None

    def _authorities(self) -> str:
        config = self._configuration.current
        return config.spec.security.ca_bundle if config else ""
