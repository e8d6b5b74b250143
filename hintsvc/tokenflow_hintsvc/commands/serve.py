"""``serve``: a replica of the hint service."""

import argparse
import sys
from collections.abc import Iterator
from typing import Final

import uvloop

from tokenflow_api import logs
from tokenflow_api.serving import trace
from tokenflow_api.serving.descriptors import allow_many_connections
from tokenflow_api.serving.issuers import ClusterKeys, KeyFile
from tokenflow_api.serving.keysets import KeySource
from tokenflow_hintsvc.guard.fetch import fetch
from tokenflow_hintsvc.replica import Settings, serve
from tokenflow_hintsvc.sources.api_server import ApiServer
from tokenflow_hintsvc.sources.config_map import ConfigMapSource
from tokenflow_hintsvc.sources.file import FileSource

_TURN_S: Final = 0.0005
"""Time that a thread which computes, such as a forecast, keeps the event loop waiting: a hint read may not feel it."""


def main(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    logs.configure(component="hintsvc", level=arguments.log_level or "Info", context=trace.log_fields)
    settings = Settings(
        name=arguments.replica,
        redis_url=arguments.redis_url,
        redis_url_file=arguments.redis_url_file,
        tenants_directory=arguments.tenants_dir,
        tls_directory=arguments.tls_dir,
        port=arguments.port,
        fast_port=arguments.fast_port,
        metrics_port=arguments.metrics_port,
        log_level=arguments.log_level,
    )
    allow_many_connections()
    sys.setswitchinterval(_TURN_S)
    server = ApiServer.of_this_pod() if arguments.config_map else None
    work = serve(settings, sources=list(_sources(arguments, server)), keys=_keys(arguments), api_server=server)
    uvloop.run(work)
    return 0


def _sources(arguments: argparse.Namespace, server: ApiServer | None) -> Iterator[FileSource | ConfigMapSource]:
    yield FileSource(arguments.runtime_file)
    if server is not None:
        yield ConfigMapSource(server=server, namespace=arguments.namespace, name=arguments.config_map)


def _keys(arguments: argparse.Namespace) -> KeySource:
    if arguments.token_keys is None:
        return ClusterKeys(fetch_document=fetch)
    return KeyFile(issuer=arguments.token_issuer, file=arguments.token_keys)
