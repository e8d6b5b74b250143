"""``keys``: makes API keys, and the lines that stand for them in a tenant's Secret."""

import argparse
import sys
from datetime import UTC, datetime
from typing import Final

from tokenflow_api.api_keys import MAX_KEY, hashed_line, new_key, parse_line
from tokenflow_api.errors import KeyFormatError

_ADVICE: Final = """
The key goes to the tenant, and is shown this once. The line goes into the tenant's Secret, under a name of its own:
  kubectl patch secret <name in apiKeysSecretRef> --type merge -p '{"stringData": {"<name>": "<line>"}}'
"""


def main(arguments: argparse.Namespace) -> int:
    """Print a fresh key and its line, or the line of the key that standard input holds.

    Returns:
        Exit status: 0, or 1 when standard input holds no key.
    """
    not_after = datetime.now(UTC) + arguments.expires if arguments.expires else None
    if arguments.action == "new":
        key = new_key()
        sys.stdout.write(f"{key}\n{hashed_line(key, not_after=not_after)}\n")
        sys.stderr.write(_ADVICE)
        return 0
    words = sys.stdin.read(MAX_KEY + 2).split()
    try:
        parse_line(words[0] if len(words) == 1 else "", tenant="", name="")
    except KeyFormatError as error:
        sys.stderr.write(f"tokenflow-hintsvc: {error}\n")
        return 1
    sys.stdout.write(f"{hashed_line(words[0], not_after=not_after)}\n")
    return 0
