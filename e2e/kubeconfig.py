"""How a kubeconfig says that an API server is reached, for programs that speak to it by plain HTTP."""

import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """An API server, and the context that knows it and shows a client's certificate to it."""

    server: str
    context: ssl.SSLContext


def access(kubeconfig: Path) -> Access:
    """Read the first cluster and the first user of a kubeconfig that has everything in it.

    Raises:
        KeyError: it names files, or a user without a certificate.
    """
    document = yaml.safe_load(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile(suffix=".pem") as pem:
        # OpenSSL takes a certificate from a file alone.
        pem.write(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return Access(server=cluster["server"], context=context)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
