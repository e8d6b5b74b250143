"""The certificate that the listeners serve with, from a mounted Secret, and the authority of client certificates."""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from tokenflow_api.mounted import mark
from tokenflow_api.serving.errors import CertificateError
from tokenflow_api.serving.figures import Figures

_log = logging.getLogger(__name__)

CERTIFICATE: Final = "tls.crt"
PRIVATE_KEY: Final = "tls.key"
CLIENT_AUTHORITY: Final = "client-ca.crt"
_LOOK_S: Final = 1.0
_MISMATCH: Final = "KEY_VALUES_MISMATCH"
"""OpenSSL's name for a key that belongs to another certificate."""


class Certificates:
    """What connections are encrypted with; each change of the Secret counts for the connections that follow.

    With ``client-ca.crt`` in the Secret, callers may show a certificate of that authority, and those who deliver
    telemetry must.

    Attributes:
        context: by which connections are encrypted from now on.
        ends_unix_ms: when the certificate in it ends.
        figures: of the server.
        refused: why what the Secret holds now cannot be served with; empty where it is what is served with.

    Args:
        directory: where a Secret of type kubernetes.io/tls is mounted.
        figures: of the server.
        protocols: offered by ALPN, the preferred first.

    Raises:
        CertificateError: there is no certificate that can be served with.
    """

    def __init__(self, directory: Path, *, figures: Figures, protocols: Sequence[str] = ("http/1.1",)) -> None:
        self._directory = directory
        self.figures = figures
        self._protocols = list(protocols)
        self._mark = mark(directory)
        self.context = self._load()
        self.refused = ""

    @property
    def mutual(self) -> bool:
        """Whether callers may show certificates."""
        return self.context.verify_mode is ssl.CERT_OPTIONAL

    def refresh(self) -> bool:
        """Take in what changed; return whether anything did. What cannot be served with is logged and left."""
        seen = mark(self._directory)
        if seen == self._mark:
            return False
        self._mark = seen
        try:
            self.context = self._load()
        except CertificateError as error:
            self.refused = str(error)
            self.figures.certificates_refused.inc()
            _log.error("certificate refused, the last good one stays", extra={"reason": str(error)})
            return False
        self.refused = ""
        _log.info("certificate in force", extra={"directory": str(self._directory), "mutual": self.mutual})
        return True

    async def run(self) -> None:
        """Look after the Secret, for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.refresh()

    def _load(self) -> ssl.SSLContext:
        certificate, authority = self._directory / CERTIFICATE, self._directory / CLIENT_AUTHORITY
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A resumed session would bring back a client certificate that is trusted no more.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_alpn_protocols(self._protocols)
        try:
            missing = [name for name in (CERTIFICATE, PRIVATE_KEY) if not (self._directory / name).is_file()]
            if missing:
                raise CertificateError(f"{self._directory} holds no {' and no '.join(missing)} to serve with")
            context.load_cert_chain(certificate, self._directory / PRIVATE_KEY)
            expiry = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
            if authority.exists():
                context.load_verify_locations(authority)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ValueError) as error:
            mismatched = isinstance(error, ssl.SSLError) and error.reason == _MISMATCH
            why = f"{PRIVATE_KEY} is not the key of {CERTIFICATE}" if mismatched else str(error)
            raise CertificateError(f"{self._directory}: {why}") from error
        self.figures.certificate_expiry.set(expiry.timestamp())
        self.ends_unix_ms = round(expiry.timestamp() * 1000)
        return context
