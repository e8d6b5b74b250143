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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the cluster up; safe to repeat")
    up.add_argument("--nodes", type=int, default=_DEFAULT_NODES, help="nodes, 0 for an API server alone (default 3)")
    commands.add_parser("down", help="take everything away")
    commands.add_parser("status", help="show the nodes and how to reach them")
    load = commands.add_parser("load", help="bring images to every node")
    load.add_argument("image", nargs="+", help="an archive, or the name of an image that buildah knows")
    for program in ("kubectl", "helm"):
        passed = commands.add_parser(program, help=f"run {program} against the cluster", add_help=False)
        passed.add_argument("arguments", nargs=argparse.REMAINDER)
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
            lifecycle.members(layout)
            print(f"export KUBECONFIG={layout.kubeconfig}")
            return subprocess.run(["kubectl", "get", "nodes"], env=_environment(layout), check=False).returncode
        case "load":
            images.load(layout, lifecycle.members(layout), arguments.image)
        case "shell":
            lifecycle.members(layout)
            shell = os.environ.get("SHELL", "/bin/sh")
            return subprocess.run([shell], env=_environment(layout), check=False).returncode
        case program:
            lifecycle.members(layout)
            command = [program, *arguments.arguments]
            return subprocess.run(command, env=_environment(layout), check=False).returncode
    return 0


def _up(arguments: argparse.Namespace, layout: Layout) -> None:
    if arguments.nodes < 0:
        raise ClusterError(f"--nodes {arguments.nodes}: write 0 or more")
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
    arguments = _parser().parse_args()
    try:
        return _run(arguments, Layout(cache=cache()))
    except (ClusterError, CommandError) as error:
        print(f"e2e.cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
