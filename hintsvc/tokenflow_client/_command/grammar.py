"""The command line of ``tokenflow``."""

import argparse
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

from tokenflow_client._command.demand import lengths
from tokenflow_client._command.endpoint import base_url

_DESCRIPTION: Final = "Follow hints, put load on an OpenAI-compatible endpoint, or chat with it."
_EXIT_CODES: Final = (
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted. The API key comes from TOKENFLOW_API_KEY or"
    " OPENAI_API_KEY, or from --api-key-file."
)

HINTS_VARIABLE: Final = "TOKENFLOW_HINT_URL"
GATEWAY_VARIABLE: Final = "OPENAI_BASE_URL"

_LEAST_VARIATION: Final = 0.01
_MOST_VARIATION: Final = 100
"""Beyond these, floats no longer tell the gaps apart."""

Command = Callable[[argparse.Namespace], int]
Value = TypeVar("Value")


def parser(*, hints: Command, bench: Command, chat: Command) -> argparse.ArgumentParser:
    """Return the parser; each command is what its arguments name as ``run``."""
    root = argparse.ArgumentParser(prog="tokenflow", description=_DESCRIPTION, epilog=_EXIT_CODES)
    root.add_argument("--version", action="version", version=version("tokenflow-operator"))
    commands = root.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Command, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words, epilog=_EXIT_CODES)
        made.set_defaults(run=run)
        made.add_argument("--api-key-file", type=Path, metavar="FILE", help="a file with the API key")
        return made

    _add_hints(command("hints", hints, "how fast streams may run, and why"))
    _add_bench(command("bench", bench, "put load on an endpoint, and tell what its readers had of it"))
    _add_chat(command("chat", chat, "chat in the terminal, and see rate, stalls and round-trip time live"))
    return root


def _add_hints(parser: argparse.ArgumentParser) -> None:
    _add_url(parser, default=os.environ.get(HINTS_VARIABLE) or "http://localhost:8080", what="the hint service")
    parser.add_argument("--tenant", default="", help="of this tenant only; needed without --watch")
    parser.add_argument("--path", default="", metavar="UPSTREAM/CLASS", help="of this path only")
    parser.add_argument("--watch", action="store_true", help="go on as they change, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each answer or snapshot")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    number, length = _checked(_above_zero), _checked(lengths)
    parser.add_argument("url", type=_checked(base_url), help="the endpoint, such as http://localhost:8000")
    parser.add_argument("--model", required=True)
    arrivals = parser.add_argument_group("arrivals")
    arrivals.add_argument("--rate", type=number, default=1.0, help="requests per second (default: 1)")
    arrivals.add_argument("--duration", type=number, default=30.0, help="seconds in which requests start (default: 30)")
    arrivals.add_argument(
        "--variation",
        type=_checked(_variation),
        default=1.0,
        help="coefficient of variation of the gaps between requests: 1 is Poisson, more is bursty (default: 1)",
    )
    arrivals.add_argument("--seed", type=int, default=1, help="equal seeds make equal requests (default: 1)")
    arrivals.add_argument(
        "--max-streams", type=_checked(_count), default=1000, help="streams open at once (default: 1000)"
    )
    arrivals.add_argument(
        "--tenant",
        action="append",
        default=[],
        metavar="NAME[=FILE]",
        help="a tenant to ask as, with the file of its API key; may be given several times, one is drawn each time",
    )
    requests = parser.add_argument_group("requests", "Lengths are 256, 64-512 or lognormal:MEDIAN:SIGMA, in tokens.")
    requests.add_argument("--prompt", type=length, default=lengths("lognormal:120:0.8"), metavar="LENGTH")
    requests.add_argument("--output", type=length, default=lengths("lognormal:200:0.8"), metavar="LENGTH")
    requests.add_argument("--ignore-eos", action="store_true", help="ask for the full length, as vLLM and SGLang can")
    requests.add_argument("--timeout", type=number, default=120.0, help="most seconds for a request (default: 120)")
    readers = parser.add_argument_group("readers")
    readers.add_argument(
        "--reading-rate",
        type=number,
        action="append",
        metavar="TOKENS_PER_SECOND",
        help="of a reader to imagine; may be given several times (default: 5, 10 and 20)",
    )
    readers.add_argument(
        "--first-token", type=number, default=1.0, help="seconds in which they expect the first token (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")


def _add_chat(parser: argparse.ArgumentParser) -> None:
    _add_url(parser, default=os.environ.get(GATEWAY_VARIABLE) or "http://localhost:8000", what="the gateway")
    parser.add_argument("--model", default="", help="model to talk to (default: the first that is served)")
    parser.add_argument("--tenant", default="", help="tenant to name, where it needs no API key")
    parser.add_argument(
        "--hints",
        type=_checked(base_url),
        default=os.environ.get(HINTS_VARIABLE) or None,
        metavar="URL",
        help=f"the hint service, to show what it says meanwhile (default: {HINTS_VARIABLE})",
    )
    parser.add_argument("--system", default="", help="what the model is told first")
    parser.add_argument("--max-tokens", type=_checked(_count), help="most tokens of one answer")
    parser.add_argument(
        "--reading-rate",
        type=_checked(_above_zero),
        default=10.0,
        metavar="TOKENS_PER_SECOND",
        help="at which you read: slower is a stall (default: 10)",
    )
    parser.add_argument(
        "--timeout", type=_checked(_above_zero), default=120.0, help="longest silence, in seconds (default: 120)"
    )


def _add_url(parser: argparse.ArgumentParser, *, default: str, what: str) -> None:
    parser.add_argument(
        "url", nargs="?", type=_checked(base_url), default=default, help=f"{what} (default here: %(default)s)"
    )


def _checked(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """Let argparse show what a ValueError says."""

    def checked(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("write a number above 0")
    return value


def _variation(text: str) -> float:
    value = float(text)
    if not _LEAST_VARIATION <= value <= _MOST_VARIATION:
        raise ValueError(f"write a number from {_LEAST_VARIATION} to {_MOST_VARIATION}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("write a whole number of 1 or more")
    return value
