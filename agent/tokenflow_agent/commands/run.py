"""``tokenflow-agent [run]``: measures until it is told to end."""

import argparse
import asyncio

from tokenflow_agent import memory
from tokenflow_agent.agent import Agent, Settings
from tokenflow_api import logs


def main(arguments: argparse.Namespace) -> int:
    """Run the agent.

    Raises:
        ConfigError: its config cannot be read.
    """
    memory.hold_little()
    logs.configure(component="agent", level=arguments.log_level or "Info")
    agent = Agent(
        Settings(
            node=arguments.node,
            config_file=arguments.config_file,
            token_file=arguments.token_file,
            cgroup_root=arguments.cgroup_root,
            pod_logs=arguments.pod_logs,
            spool_dir=arguments.spool_dir,
            client_tls_directory=arguments.client_tls_dir,
            log_level=arguments.log_level,
            port=arguments.port,
        )
    )
    asyncio.run(agent.run())
    return 0
