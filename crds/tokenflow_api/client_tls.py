"""How a program trusts the hint service, and proves itself to it, where the policy serves by TLS."""

import ssl
from pathlib import Path
from typing import Final

CERTIFICATE: Final = "client.crt"
PRIVATE_KEY: Final = "client.key"


def client_context(authorities: str = "", *, directory: Path | None = None) -> ssl.SSLContext:
    """Return the context of connections to a hint service.

    Args:
        authorities: certificates in PEM to know it by; empty is those of the system.
        directory: a certificate to show, and its key, as the policy's TLS Secret holds them; both may be absent.

    Raises:
        OSError: what is there cannot be read (``ssl.SSLError`` is one, too).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities:
        # Bundles tell in comments whose certificates they hold, and Python takes ASCII alone.
        context.load_verify_locations(cadata=authorities.encode("ascii", "replace").decode())
    else:
        context.load_default_certs()
    if directory is not None and (directory / CERTIFICATE).is_file():
        context.load_cert_chain(directory / CERTIFICATE, directory / PRIVATE_KEY)
    return context
