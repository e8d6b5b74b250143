"""``serve``: a replica of the hint service."""

import argparse
import asyncio

from tokenflow_api import logs
from tokenflow_hintsvc.configuration import ConfigMapSource
from tokenflow_hintsvc.guard.keysets import ClusterKeys
from tokenflow_hintsvc.replica import Settings, serve


def main(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
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
