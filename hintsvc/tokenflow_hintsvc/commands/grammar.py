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
    _train(commands.add_parser("train", help="make a model of telemetry, if it beats the baselines"))
    _evaluate(commands.add_parser("evaluate", help="tell how good a model is"))
    _models(commands.add_parser("models", help="keep the models that a policy may serve"))
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
    _redis(command)
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


def _train(command: argparse.ArgumentParser) -> None:
    _data(command)
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where models are kept, one below it each"
    )
    command.add_argument("--seed", type=int, default=0, help="of what is drawn: the same makes the same trees")
    command.add_argument(
        "--version", dest="version_name", type=_version, help="of the model; by default made of its trees"
    )


def _evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", type=Path, required=True, metavar="DIR", help="a model, or where models are kept")
    _data(command)
    command.add_argument("--json", action="store_true", help="print JSON rather than a table")


def _models(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    _registry(actions.add_parser("list", help="list the models, the promoted one marked"))
    _registry(actions.add_parser("rollback", help="promote again what was promoted before"))
    push = actions.add_parser("push", help="hand a model to all replicas")
    push.add_argument("model", type=Path, metavar="DIR", help="a model, or where models are kept: the newest")
    _registry(push)
    for name, purpose in (
        ("show", "print a model's scores and where it comes from"),
        ("promote", "serve a model where the policy names no version"),
        ("remove", "forget a model"),
    ):
        action = actions.add_parser(name, help=purpose)
        action.add_argument("model", metavar="VERSION")
        _registry(action)


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        required=True,
        type=_telemetry,
        metavar="FILE",
        help="a .csv or .parquet of round-trip times, or 'redis' for what the policy keeps",
    )
    _registry(command)


def _registry(command: argparse.ArgumentParser) -> None:
    _redis(command)
    command.add_argument(
        "--policy-uid", default=os.environ.get("TOKENFLOW_POLICY_UID", ""), help="metadata.uid of the PacingPolicy"
    )


def _redis(command: argparse.ArgumentParser) -> None:
    env = os.environ.get
    command.add_argument(
        "--redis-url", default=env("TOKENFLOW_REDIS_URL", "redis://localhost:6379/0"), help="the shared state"
    )
    command.add_argument(
        "--redis-url-file",
        type=Path,
        default=env("TOKENFLOW_REDIS_URL_FILE"),
        help="a file that holds the URL instead; a replica follows its changes",
    )


def _telemetry(text: str) -> str:
    if text != "redis" and not text.endswith((".csv", ".parquet")):
        raise argparse.ArgumentTypeError(f"{text!r} is no telemetry: name a .csv or .parquet file, or write redis")
    return text


def _version(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version: use up to 64 letters, digits, '.', '_' and '-'")
    return text


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
