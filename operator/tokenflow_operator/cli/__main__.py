"""The command line of ``kubectl tokenflow``."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from tokenflow_operator.cli import rollout, top
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.status import status
from tokenflow_operator.errors import OperatorError

WELL: Final = 0
NOT_WELL: Final = 1

_DESCRIPTION: Final = "Is it well, how did a rate come about, how far is a rollout, and what would a change do?"
_EXIT_CODES: Final = "Exit codes: 0 all is well, 1 something is not or cannot be told, 2 wrong command line."

Command = Callable[[Kubectl, argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 where all is well, 1 where it is not or cannot be told, 2 for a wrong command line."""
    arguments = _parser().parse_args(argv)
    given = vars(arguments)
    kubectl = Kubectl(**{name: given.get(name, "") for name in ("kubeconfig", "context", "namespace")})
    run: Command = arguments.run
    try:
        return run(kubectl, arguments)
    except OperatorError as error:
        sys.stderr.write(f"kubectl tokenflow: {error}\n")
        return NOT_WELL
    except KeyboardInterrupt:
        return NOT_WELL
    except BrokenPipeError:
        # Whoever read has seen enough; what is left must not fail when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_WELL


def _status(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    text, well = status(kubectl, everywhere=arguments.everywhere, output=arguments.output, now=datetime.now(UTC))
    sys.stdout.write(text)
    return WELL if well else NOT_WELL


def _top(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    if arguments.once:
        sys.stdout.write(top.page(kubectl, everywhere=arguments.everywhere, now=datetime.now(UTC)))
        return WELL
    with suppress(KeyboardInterrupt):
        top.live(kubectl, sys.stdout, everywhere=arguments.everywhere, interval_s=arguments.interval)
    return WELL


def _explain(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    from tokenflow_operator.cli.explain import explain, text  # noqa: PLC0415 - the other commands start without it

    reply = explain(kubectl, arguments.tenant, policy=arguments.policy, service_account=arguments.service_account)
    as_json = arguments.output == "json"
    sys.stdout.write(reply.model_dump_json(indent=2) + "\n" if as_json else text(reply))
    return WELL


def _simulate(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    from tokenflow_operator.cli import simulation  # noqa: PLC0415 - the other commands start without it
    from tokenflow_operator.cli.simulate import simulate  # noqa: PLC0415 - likewise

    stdin = sys.stdin.read() if "-" in arguments.files else ""
    simulations = simulate(kubectl, arguments.files, stdin=stdin, now=datetime.now(UTC))
    as_json = arguments.output == "json"
    document = json.dumps(simulation.document(simulations), indent=2) + "\n" if as_json else ""
    sys.stdout.write(document or simulation.text(simulations))
    return WELL if all(each.accepted for each in simulations) else NOT_WELL


def _rollout_status(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    def look() -> rollout.Progress:
        return rollout.look(kubectl, arguments.name)

    timeout_s = arguments.timeout if arguments.watch else 0.0
    verdict = rollout.watch(look, _say, timeout_s=timeout_s)
    return WELL if verdict is rollout.Verdict.COMPLETE else NOT_WELL


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _steer(action: Callable[[Kubectl, str], str]) -> Command:
    def command(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
        _say(f"TelemetryAgent {arguments.name}: {action(kubectl, arguments.name)}")
        return WELL

    return command


def _retry(kubectl: Kubectl, name: str) -> str:
    return rollout.retry(kubectl, name, moment=datetime.now(UTC).isoformat())


def _parser() -> argparse.ArgumentParser:
    target = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    target.add_argument("--kubeconfig", metavar="FILE", help="credentials (default: those of kubectl)")
    target.add_argument("--context", help="context of the kubeconfig (default: its present one)")
    target.add_argument("-n", "--namespace", help="namespace to work in (default: that of the context)")
    parser = argparse.ArgumentParser(
        prog="kubectl tokenflow", description=_DESCRIPTION, epilog=_EXIT_CODES, parents=[target]
    )
    parser.add_argument("--version", action="version", version=version("tokenflow-operator"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Command | None, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[target], help=words, description=words, epilog=_EXIT_CODES)
        made.set_defaults(run=run)
        return made

    look = command("status", _status, "is it well, what fires, and what to do")
    look.add_argument("-A", "--all-namespaces", dest="everywhere", action="store_true")
    look.add_argument("-o", "--output", choices=["text", "wide", "json"], default="text")

    live = command("top", _top, "policies, tenants, rates, health and nodes, live")
    live.add_argument("-A", "--all-namespaces", dest="everywhere", action="store_true")
    live.add_argument("--once", action="store_true", help="show one page and end")
    live.add_argument("--interval", type=_seconds, default=2.0, help="seconds between two pages (default: 2)")

    why = command("explain", _explain, "how the rates of a tenant came about, step by step")
    why.add_argument("tenant")
    why.add_argument("--policy", default="", help="needed where several policies name the tenant")
    why.add_argument(
        "--service-account",
        default="",
        metavar="NAMESPACE/NAME",
        help="ask the hint service as this one (default: the policy's gateway)",
    )
    why.add_argument("-o", "--output", choices=["text", "json"], default="text")

    what_if = command("simulate", _simulate, "what would change if a file were applied, before anything does")
    what_if.add_argument(
        "-f", "--filename", dest="files", action="append", required=True, help="a file, or - for stdin"
    )
    what_if.add_argument("-o", "--output", choices=["text", "json"], default="text")

    _add_rollout(command("rollout", None, "how far a TelemetryAgent's revision has come, and steering it"), target)
    return parser


def _add_rollout(parser: argparse.ArgumentParser, target: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, words in (
        ("status", _rollout_status, "how far it has come: 0 when it is complete"),
        ("pause", _steer(rollout.pause), "let no further node get the new revision"),
        ("resume", _steer(rollout.resume), "go on after a pause"),
        ("undo", _steer(rollout.undo), "go back to the last good revision"),
        ("retry", _steer(_retry), "give a revision that failed or was undone another chance"),
    ):
        made = commands.add_parser(name, parents=[target], help=words, description=words, epilog=_EXIT_CODES)
        made.add_argument("name", help="of the TelemetryAgent")
        made.set_defaults(run=run)
        if run is _rollout_status:
            made.add_argument("--watch", action="store_true", help="until it is complete or has failed")
            made.add_argument("--timeout", type=_seconds, default=3600.0, help="most seconds to watch (default: 3600)")


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("write a number of seconds above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
