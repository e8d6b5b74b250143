"""``tokenflow-hintsvc``: a replica of the hint service of one PacingPolicy."""

import argparse
import asyncio
import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path

from tokenflow_api import logs
from tokenflow_hintsvc.configuration import ConfigMapSource
from tokenflow_hintsvc.replica import Settings, serve
from tokenflow_hintsvc.tokens import ClusterKeys


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenflow-hintsvc", description=__doc__)
    parser.add_argument("--version", action="version", version=version("tokenflow-operator"))
    env = os.environ.get
    parser.add_argument(
        "--runtime-file",
        type=Path,
        default=env("TOKENFLOW_RUNTIME_FILE", "/etc/tokenflow/runtime/runtime.json"),
        help="mounted copy of the runtime config",
    )
    parser.add_argument("--namespace", default=env("TOKENFLOW_NAMESPACE", env("POD_NAMESPACE", "default")))
    parser.add_argument("--config-map", default=env("TOKENFLOW_CONFIG_MAP", ""), help="ConfigMap to watch; empty: none")
    parser.add_argument(
        "--redis-url", default=env("TOKENFLOW_REDIS_URL", "redis://localhost:6379/0"), help="the shared state"
    )
    parser.add_argument(
        "--tenants-dir",
        type=Path,
        default=env("TOKENFLOW_TENANTS_DIR", "/etc/tokenflow/tenants"),
        help="a directory of API keys per tenant",
    )
    parser.add_argument("--replica", default=env("TOKENFLOW_REPLICA", env("POD_NAME", socket.gethostname())))
    parser.add_argument("--port", type=int, default=env("TOKENFLOW_PORT", "8080"))
    parser.add_argument("--metrics-port", type=int, default=env("TOKENFLOW_METRICS_PORT", "9090"))
    parser.add_argument("--log-level", choices=["Debug", "Info", "Warning", "Error"], default="Info")
    return parser


def main() -> int:
    """Run the command line."""
    arguments = _parser().parse_args()
    logs.configure(component="hintsvc", level=arguments.log_level)
    settings = Settings(
        name=arguments.replica,
        redis_url=arguments.redis_url,
        runtime_file=arguments.runtime_file,
        tenants_directory=arguments.tenants_dir,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
    )
    source = ConfigMapSource(namespace=arguments.namespace, name=arguments.config_map) if arguments.config_map else None
    asyncio.run(serve(settings, source=source, keys=ClusterKeys()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
