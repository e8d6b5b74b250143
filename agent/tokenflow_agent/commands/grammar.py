"""What may be written on the command line."""

import argparse
import os
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tokenflow_api.quantities import seconds

PORT: Final = 9435
TABLES: Final = ("tcp", "listen", "http", "sql", "gpu", "gpu_processes")
COLUMNS: Final = ("pod", "rtt50", "rtt95", "retrans", "backlog", "http95", "errors", "gpumem", "gpu")


def parser() -> argparse.ArgumentParser:
    """Return the parser; without a command it takes the words of ``run``.

    The namespace that it returns has ``command``, the name of the module to call.
    """
    main = argparse.ArgumentParser(
        prog="tokenflow-agent",
        description="Measures the network and the GPUs of every pod of its node.",
        parents=[_node_flags(), _run_flags()],
    )
    main.add_argument("--version", action="version", version=version("tokenflow-operator"))
    commands = main.add_subparsers(dest="command", metavar="COMMAND", help="what to do; by default: run")
    commands.add_parser(
        "run", help="measure until SIGTERM", description="Measure.", parents=[_node_flags(), _run_flags()]
    )
    _doctor(commands.add_parser("doctor", help="say what this node lacks", parents=[_node_flags()]))
    _top(commands.add_parser("top", help="show the node's pods as they fare"))
    _record(commands.add_parser("record", help="write the agent's windows to a file"))
    _replay(commands.add_parser("replay", help="send recorded windows to a hint service"))
    main.set_defaults(command="run", **_defaults())
    return main


def _defaults() -> dict[str, str | None]:
    """Return the defaults of all node and run flags.

    They stand on the main parser alone: a command that has its own would undo what was written before it.
    """
    env = os.environ.get
    return {
        "config_file": env("TOKENFLOW_CONFIG_FILE", "/etc/tokenflow/agent/agent.json"),
        "token_file": env("TOKENFLOW_TOKEN_FILE", "/var/run/secrets/tokenflow/token"),
        "cgroup_root": env("TOKENFLOW_CGROUP_ROOT", "/host/sys/fs/cgroup"),
        "pod_logs": env("TOKENFLOW_POD_LOGS", "/host/var/log/pods"),
        "node": env("NODE_NAME", socket.gethostname()),
        "port": env("TOKENFLOW_PORT", str(PORT)),
        "spool_dir": env("TOKENFLOW_SPOOL_DIR", "/var/lib/tokenflow/spool"),
        "client_tls_dir": env("TOKENFLOW_CLIENT_TLS_DIR"),
        "log_level": None,
    }


def _node_flags() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    flags.add_argument("--config-file", type=Path, help="the agent's config, as the operator writes it")
    flags.add_argument("--token-file", type=Path, help="the projected token for the hint services")
    flags.add_argument("--client-tls-dir", type=Path, help="certificates to show hint services, a directory per policy")
    flags.add_argument("--cgroup-root", type=Path, help="the host's /sys/fs/cgroup")
    flags.add_argument("--pod-logs", type=Path, help="the host's /var/log/pods")
    flags.add_argument("--spool-dir", type=Path, help="where windows wait on the disk")
    return flags


def _run_flags() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    flags.add_argument("--node", help="name of this node")
    flags.add_argument("--port", type=int, help="of metrics and probes")
    flags.add_argument(
        "--log-level",
        choices=["Debug", "Info", "Warning", "Error"],
        help="how much is logged; by default as spec.observability.logLevel says",
    )
    return flags


def _doctor(command: argparse.ArgumentParser) -> None:
    command.description = "Check what the agent needs of this node; exit 1 where something fails."
    command.add_argument("--json", action="store_true", help="write the checks as JSON")


def _top(command: argparse.ArgumentParser) -> None:
    command.description = "Show the pods of the node: round-trip times, retransmits, backlog, HTTP and GPU."
    _agent_flag(command)
    command.add_argument("--sort", choices=COLUMNS, default="rtt95", help="column to sort by (default: %(default)s)")
    command.add_argument("--namespace", help="show this namespace alone")
    command.add_argument("--interval", type=_duration, default="2s", help="between two pictures (default: %(default)s)")
    command.add_argument("--once", action="store_true", help="write one table and end")


def _record(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Write windows as they come. FILE.csv and FILE.parquet take one table; any other name is a directory that takes"
        " all tables, as replay sends them again."
    )
    command.add_argument("file", type=Path, metavar="FILE", help="a new file or directory")
    _agent_flag(command)
    command.add_argument("--table", choices=TABLES, help="which table a single file takes (default: tcp)")
    command.add_argument("--duration", type=_duration, help="end after so long, such as 10m; by default at Ctrl-C")


def _replay(command: argparse.ArgumentParser) -> None:
    command.description = "Send recorded windows again, in their order and at their pace, under a new boot id."
    command.add_argument("file", type=Path, metavar="FILE", help="what record has written")
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="URL", help="base address of a hint service")
    target.add_argument("--dry-run", action="store_true", help="send nothing, say what would be sent")
    command.add_argument("--token-file", type=Path, default=argparse.SUPPRESS, help="token for the hint service")
    command.add_argument("--speed", type=_speed, default="1", help="how many times faster (default: %(default)s)")
    command.add_argument("--as-node", metavar="NAME", help="send under another node's name")


def _agent_flag(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url", default=f"http://127.0.0.1:{PORT}", help="address of the agent's port (default: %(default)s)"
    )


def _duration(text: str) -> float:
    try:
        value = seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if value <= 0:
        raise argparse.ArgumentTypeError("it must be longer than nothing: write a duration such as 2s")
    return value


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:  # noqa: PLR2004 - the bound is in the words below
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: write a number above 0 and up to 1000, such as 10")
    return value
