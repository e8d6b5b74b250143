"""``openapi``: prints the OpenAPI document of the API."""

import argparse
import sys

from tokenflow_hintsvc.api.application import ENDPOINTS
from tokenflow_hintsvc.api.openapi import Document


def main(_: argparse.Namespace) -> int:
    """Print the document as ``/openapi.json`` serves it."""
    sys.stdout.buffer.write(Document(ENDPOINTS).encoded + b"\n")
    return 0
