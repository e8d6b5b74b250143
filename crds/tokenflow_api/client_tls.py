"""How a program trusts the hint service, and proves itself to it, where the policy serves by TLS."""

import ssl
from pathlib import Path
from typing import Final

AUTHORITY: Final = "ca.crt"
CERTIFICATE: Final = "client.crt"
PRIVATE_KEY: Final = "client.key"


def client_context(directory: Path | None) -> ssl.SSLContext:
    """Return the context of connections to a hint service.

    Args:
        directory: keys of the policy's TLS Secret, mounted: an authority to trust besides those of the system, and a
            certificate to show. Each may be absent, and so may the directory.

    Raises:
        OSError: what is there cannot be read (``ssl.SSLError`` is one, too).
    """
    context = ssl.create_default_context()
    if directory is None:
        return context
    if (directory / AUTHORITY).is_file():
        context.load_verify_locations(directory / AUTHORITY)
    if (directory / CERTIFICATE).is_file():
        context.load_cert_chain(directory / CERTIFICATE, directory / PRIVATE_KEY)
    return context
