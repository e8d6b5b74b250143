"""What the command line may say."""

import argparse
import os
import re
import socket
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="tokenflow-hintsvc", description="Decides how fast the tenants of one PacingPolicy may stream."
    )
    whole.add_argument("--version", action="version", version=version("tokenflow-operator"))
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _serve(commands.add_parser("serve", help="run a replica"))
    _keys(commands.add_parser("keys", help="make API keys for tenants"))
    commands.add_parser("openapi", help="print the OpenAPI document of the API")
    return whole


def _serve(command: argparse.ArgumentParser) -> None:
    env = os.environ.get
    command.add_argument(
        "--runtime-file",
        type=Path,
        default=env("TOKENFLOW_RUNTIME_FILE", "/etc/tokenflow/runtime/runtime.json"),
        help="mounted copy of the runtime config",
    )
    command.add_argument("--namespace", default=env("TOKENFLOW_NAMESPACE", env("POD_NAMESPACE", "default")))
    command.add_argument(
        "--config-map", default=env("TOKENFLOW_CONFIG_MAP", ""), help="ConfigMap to watch; empty: none"
    )
    command.add_argument(
        "--redis-url", default=env("TOKENFLOW_REDIS_URL", "redis://localhost:6379/0"), help="the shared state"
    )
    command.add_argument(
        "--tenants-dir",
        type=Path,
        default=env("TOKENFLOW_TENANTS_DIR", "/etc/tokenflow/tenants"),
        help="a directory of API keys per tenant",
    )
    command.add_argument(
        "--tls-dir",
        type=Path,
        default=env("TOKENFLOW_TLS_DIR"),
        help="a directory with tls.crt and tls.key to serve https with, and client-ca.crt to demand certificates of"
        " agents and gateways; without it, plain http",
    )
    command.add_argument(
        "--token-keys",
        type=Path,
        default=env("TOKENFLOW_TOKEN_KEYS"),
        help="JWKS file of the issuer of service-account tokens; without it the API server is asked",
    )
    command.add_argument(
        "--token-issuer", default=env("TOKENFLOW_TOKEN_ISSUER", ""), help="that issuer's name, with --token-keys"
    )
    command.add_argument("--replica", default=env("TOKENFLOW_REPLICA", env("POD_NAME", socket.gethostname())))
    command.add_argument("--port", type=int, default=env("TOKENFLOW_PORT", "8080"))
    command.add_argument(
        "--fast-port",
        type=int,
        default=env("TOKENFLOW_FAST_PORT", "8081"),
        help="a listener for hint reads and the stream alone; 0: none",
    )
    command.add_argument("--metrics-port", type=int, default=env("TOKENFLOW_METRICS_PORT", "9090"))
    command.add_argument(
        "--log-level",
        choices=["Debug", "Info", "Warning", "Error"],
        help="how much is logged; without it what the policy says",
    )


def _keys(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, purpose in (
        ("new", "print a fresh key, and the line that stands for it in the tenant's Secret"),
        ("hash", "print the line of the key that standard input holds"),
    ):
        action = actions.add_parser(name, help=purpose)
        action.add_argument(
            "--expires", type=_period, metavar="90d", help="time until it ends; without it, it does not"
        )


def _period(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no period: write a number and d, h or m, such as 90d")
    return timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[match[2]]: int(match[1])})
