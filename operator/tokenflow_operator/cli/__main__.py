"""``kubectl tokenflow``: is it well, how did a rate come about, and what would a change do."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.status import status
from tokenflow_operator.errors import OperatorError

WELL: Final = 0
NOT_WELL: Final = 1
USAGE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 where all is well, 1 where it is not or cannot be told, 2 for a wrong command line."""
    arguments = _parser().parse_args(argv)
    given = vars(arguments)
    kubectl = Kubectl(**{name: given.get(name, "") for name in ("kubeconfig", "context", "namespace")})
    try:
        return int(arguments.run(kubectl, arguments))
    except OperatorError as error:
        sys.stderr.write(f"kubectl tokenflow: {error}\n")
        return NOT_WELL
    except KeyboardInterrupt:
        return NOT_WELL


def _status(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    text, well = status(kubectl, everywhere=arguments.everywhere, output=arguments.output, now=datetime.now(UTC))
    sys.stdout.write(text)
    return WELL if well else NOT_WELL


def _parser() -> argparse.ArgumentParser:
    target = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    target.add_argument("--kubeconfig", metavar="FILE", help="credentials (default: those of kubectl)")
    target.add_argument("--context", help="context of the kubeconfig (default: its present one)")
    target.add_argument("-n", "--namespace", help="namespace to work in (default: that of the context)")
    epilog = "Exit codes: 0 all is well, 1 something is not or cannot be told, 2 wrong command line."
    parser = argparse.ArgumentParser(
        prog="kubectl tokenflow", description=__doc__, epilog=epilog, parents=[target], allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=version("tokenflow-operator"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    look = commands.add_parser("status", parents=[target], help="is it well, what fires, what to do", epilog=epilog)
    look.add_argument("-A", "--all-namespaces", dest="everywhere", action="store_true")
    look.add_argument("-o", "--output", choices=["text", "wide", "json"], default="text")
    look.set_defaults(run=_status)
    return parser


if __name__ == "__main__":
    sys.exit(main())
