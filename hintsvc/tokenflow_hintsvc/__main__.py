"""``tokenflow-hintsvc``: decides how fast the tenants of one PacingPolicy may stream.

A command is a module that is imported when it is called: a running replica carries none of what only the
others need.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from tokenflow_api.exits import NO_CERTIFICATE
from tokenflow_api.serving.errors import CertificateError, ServingError
from tokenflow_hintsvc.commands.grammar import parser
from tokenflow_hintsvc.errors import HintServiceError, UsageError


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit status: 0, 1 for a failure, 2 for a call that cannot work, 78 without a certificate to serve with.
    """
    arguments = parser().parse_args(words)
    command = import_module(f"tokenflow_hintsvc.commands.{arguments.command}")
    try:
        status: int = command.main(arguments)
    except (HintServiceError, ServingError) as error:
        print(f"tokenflow-hintsvc: {error}", file=sys.stderr)  # noqa: T201 - a command line's last words
        return _failed(error)
    return status


def _failed(error: HintServiceError | ServingError) -> int:
    match error:
        case UsageError():
            return 2
        case CertificateError():
            return NO_CERTIFICATE
        case _:
            return 1


if __name__ == "__main__":
    sys.exit(main())
