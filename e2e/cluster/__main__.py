"""``python -m e2e.cluster``: a real Kubernetes on this machine.

Programs are built once from Go modules into TOKENFLOW_CACHE (default ~/.cache/tokenflow); kubectl
and helm are then in its bin directory too.
"""

import argparse
import os
import subprocess
import sys
import time

from rich.console import Console

from e2e.cluster import images, lifecycle
from e2e.cluster.errors import ClusterError
from e2e.cluster.settings import Layout, cache
from e2e.commands import CommandError

_DEFAULT_NODES = 3
_MOST_NODES = 50
_PASSED_ON = ("kubectl", "helm")


def _node_count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= _MOST_NODES:
        raise argparse.ArgumentTypeError(f"{count} is not between 0 and {_MOST_NODES}")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the cluster up; safe to repeat")
    up.add_argument(
        "--nodes", type=_node_count, default=_DEFAULT_NODES, help="nodes, 0 for an API server alone (default 3)"
    )
    commands.add_parser("down", help="take everything away")
    commands.add_parser("status", help="show the nodes and how to reach them")
    load = commands.add_parser("load", help="bring images to every node")
    load.add_argument("image", nargs="+", help="an archive, or the name of an image that buildah knows")
    for program in _PASSED_ON:
        commands.add_parser(program, help=f"run {program} against the cluster with all arguments that follow")
    commands.add_parser("shell", help="start a shell in which kubectl and helm reach the cluster")
    return parser


def _environment(layout: Layout) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": str(layout.kubeconfig),
        "PATH": f"{layout.binaries}:{os.environ.get('PATH', '')}",
    }


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    match arguments.command:
        case "up":
            _up(arguments, layout)
        case "down":
            lifecycle.down(layout)
        case "status":
            print(f"export KUBECONFIG={layout.kubeconfig}", flush=True)
            return _reach(layout, "kubectl", "get", "nodes")
        case "load":
            images.load(layout, lifecycle.members(layout), arguments.image)
        case "shell":
            return _reach(layout, os.environ.get("SHELL", "/bin/sh"))
    return 0


def _reach(layout: Layout, *command: str) -> int:
    """Run a program that finds the cluster in its environment, and return its exit code.

    Raises:
        ClusterError: no cluster is up.
    """
    lifecycle.members(layout)
    return subprocess.run(command, env=_environment(layout), check=False).returncode


def _up(arguments: argparse.Namespace, layout: Layout) -> None:
    console = Console(stderr=True)
    started = time.monotonic()
    if console.is_terminal:
        with console.status("starting") as status:
            lifecycle.up(layout, nodes=arguments.nodes, report=status.update)
    else:
        lifecycle.up(layout, nodes=arguments.nodes, report=lambda text: print(text, file=sys.stderr, flush=True))
    print(f"{arguments.nodes} nodes ready after {time.monotonic() - started:.1f} s", file=sys.stderr)
    print(f"export KUBECONFIG={layout.kubeconfig}")


def main() -> int:
    """Run the command line: 0, 1 when something failed, 2 for a wrong command line."""
    words = sys.argv[1:]
    layout = Layout(cache=cache())
    try:
        # argparse would take the options of another program for its own.
        return _reach(layout, *words) if words and words[0] in _PASSED_ON else _run(_parser().parse_args(words), layout)
    except (ClusterError, CommandError) as error:
        print(f"e2e.cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
