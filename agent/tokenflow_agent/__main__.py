"""``tokenflow-agent``: measures the network and the GPUs of every pod of its node."""

import argparse
import asyncio
import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path

from tokenflow_agent.agent import Agent, Settings
from tokenflow_agent.errors import ConfigError
from tokenflow_api import logs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenflow-agent", description=__doc__)
    parser.add_argument("--version", action="version", version=version("tokenflow-operator"))
    env = os.environ.get
    parser.add_argument(
        "--config-file",
        type=Path,
        default=env("TOKENFLOW_CONFIG_FILE", "/etc/tokenflow/agent/agent.json"),
        help="the agent's config, as the operator writes it",
    )
    parser.add_argument(
        "--token-file", type=Path, default=env("TOKENFLOW_TOKEN_FILE", "/var/run/secrets/tokenflow/token")
    )
    parser.add_argument("--node", default=env("NODE_NAME", socket.gethostname()), help="name of this node")
    parser.add_argument(
        "--cgroup-root",
        type=Path,
        default=env("TOKENFLOW_CGROUP_ROOT", "/host/sys/fs/cgroup"),
        help="the host's /sys/fs/cgroup",
    )
    parser.add_argument(
        "--pod-logs",
        type=Path,
        default=env("TOKENFLOW_POD_LOGS", "/host/var/log/pods"),
        help="the host's /var/log/pods",
    )
    parser.add_argument("--port", type=int, default=env("TOKENFLOW_PORT", "9435"), help="of metrics and probes")
    parser.add_argument("--log-level", choices=["Debug", "Info", "Warning", "Error"], default="Info")
    return parser


def main() -> int:
    """Run the command line."""
    arguments = _parser().parse_args()
    logs.configure(component="agent", level=arguments.log_level)
    settings = Settings(
        node=arguments.node,
        config_file=arguments.config_file,
        token_file=arguments.token_file,
        cgroup_root=arguments.cgroup_root,
        pod_logs=arguments.pod_logs,
        port=arguments.port,
    )
    try:
        agent = Agent(settings)
    except ConfigError as error:
        print(f"tokenflow-agent: {error}", file=sys.stderr)  # noqa: T201 - a command line's last words
        return 1
    asyncio.run(agent.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
