"""``tokenflow-gateway``: the OpenAI-compatible gateway of one PacingPolicy."""

import argparse
import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import uvloop

from tokenflow_api import logs
from tokenflow_api.exits import NO_CERTIFICATE
from tokenflow_api.serving import trace
from tokenflow_api.serving.descriptors import allow_many_connections
from tokenflow_api.serving.errors import CertificateError, ServingError
from tokenflow_gateway.server import Settings, serve


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenflow-gateway", description=__doc__)
    parser.add_argument("--version", action="version", version=version("tokenflow-operator"))
    env = os.environ.get
    parser.add_argument(
        "--runtime-file",
        type=Path,
        default=env("TOKENFLOW_RUNTIME_FILE", "/etc/tokenflow/runtime/runtime.json"),
        help="mounted copy of the runtime config",
    )
    parser.add_argument("--hint-url", default=env("TOKENFLOW_HINT_URL", "http://localhost:8080"))
    parser.add_argument(
        "--hint-tls-dir",
        type=Path,
        default=env("TOKENFLOW_HINT_TLS_DIR"),
        help="a directory with client.crt and client.key to show at https",
    )
    parser.add_argument(
        "--token-file", type=Path, default=env("TOKENFLOW_TOKEN_FILE", "/var/run/secrets/tokenflow/token")
    )
    parser.add_argument("--tenants-dir", type=Path, default=env("TOKENFLOW_TENANTS_DIR", "/etc/tokenflow/tenants"))
    parser.add_argument(
        "--upstreams-dir", type=Path, default=env("TOKENFLOW_UPSTREAMS_DIR", "/etc/tokenflow/upstreams")
    )
    parser.add_argument(
        "--tls-dir",
        type=Path,
        default=env("TOKENFLOW_TLS_DIR"),
        help="a directory with tls.crt and tls.key to serve with; without it, plain HTTP",
    )
    parser.add_argument("--namespace", default=env("TOKENFLOW_NAMESPACE", env("POD_NAMESPACE", "default")))
    parser.add_argument("--pod-name", default=env("POD_NAME", socket.gethostname()))
    parser.add_argument("--port", type=int, default=env("TOKENFLOW_PORT", "8000"))
    parser.add_argument("--metrics-port", type=int, default=env("TOKENFLOW_METRICS_PORT", "9090"))
    parser.add_argument(
        "--log-level", choices=["Debug", "Info", "Warning", "Error"], help="by default as the policy says"
    )
    return parser


def main() -> int:
    """Run the command line."""
    arguments = _parser().parse_args()
    logs.configure(component="gateway", level=arguments.log_level or "Info", context=trace.log_fields)
    settings = Settings(
        pod_namespace=arguments.namespace,
        pod_name=arguments.pod_name,
        runtime_file=arguments.runtime_file,
        hint_url=arguments.hint_url,
        hint_tls_directory=arguments.hint_tls_dir,
        token_file=arguments.token_file,
        tenants_directory=arguments.tenants_dir,
        upstreams_directory=arguments.upstreams_dir,
        tls_directory=arguments.tls_dir,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
        log_level=arguments.log_level,
    )
    allow_many_connections()
    try:
        uvloop.run(serve(settings))
    except (ServingError, OSError) as error:
        print(f"tokenflow-gateway: {error}", file=sys.stderr)  # noqa: T201 - a command's last words
        return NO_CERTIFICATE if isinstance(error, CertificateError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
