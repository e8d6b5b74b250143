"""The operator's command line: read by itself, and by the plugin to know how an operator that runs was started."""

import argparse
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tokenflow_api.quantities import seconds
from tokenflow_operator.plan import names
from tokenflow_operator.settings import DOCS_URL, Identity, Images, Installation, Monitoring

_SHORTEST_RESYNC_S: Final = 1.0
_DESCRIPTION: Final = "Brings PacingPolicies and TelemetryAgents to what they ask for."


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the operator's parser, whose defaults come from an environment."""
    made = argparse.ArgumentParser(prog="tokenflow-operator", description=_DESCRIPTION)
    made.add_argument("--version", action="version", version=version("tokenflow-operator"))
    env = environment.get
    add = made.add_argument
    add("--namespace", default=env("TOKENFLOW_NAMESPACE", ""), help="look after one namespace only (default: all)")
    add(
        "--nodes",
        action=argparse.BooleanOptionalAction,
        default=env("TOKENFLOW_NODES", "true") == "true",
        help="read nodes, which rollouts of agents go by; it needs a right in the whole cluster",
    )
    add(
        "--resync",
        type=_duration,
        default=env("TOKENFLOW_RESYNC", "10m"),
        help="time after which all is listed and looked at again, whatever watches told (default: 10m)",
    )
    add("--agent-image", default=env("TOKENFLOW_AGENT_IMAGE", "tokenflow/agent:dev"))
    add("--hintsvc-image", default=env("TOKENFLOW_HINTSVC_IMAGE", "tokenflow/hintsvc:dev"))
    add("--redis-image", default=env("TOKENFLOW_REDIS_IMAGE", "tokenflow/redis:dev"))
    add(
        "--image-pull-policy",
        choices=["Always", "IfNotPresent", "Never"],
        default=env("TOKENFLOW_IMAGE_PULL_POLICY", "IfNotPresent"),
    )
    add(
        "--image-pull-secrets",
        default=env("TOKENFLOW_IMAGE_PULL_SECRETS", ""),
        help="names, separated by commas, of Secrets in the resources' namespaces to pull images with",
    )
    add(
        "--monitoring-labels",
        type=_labels,
        default=env("TOKENFLOW_MONITORING_LABELS", ""),
        help="labels, such as release=prometheus,team=llm, by which a Prometheus selects rules and monitors",
    )
    add(
        "--docs-url",
        default=env("TOKENFLOW_DOCS_URL", DOCS_URL),
        help=f"where the documentation is published, for links in alerts (default: {DOCS_URL})",
    )
    add("--pod-namespace", default=env("POD_NAMESPACE", "default"), help="namespace that the operator runs in")
    add(
        "--lease-name",
        default=env("TOKENFLOW_LEASE_NAME", "tokenflow-operator"),
        help="Lease in the operator's namespace by which replicas agree who leads",
    )
    add(
        "--leader-election",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="without it nothing keeps two operators apart: for one that runs outside the cluster",
    )
    add(
        "--webhook-host",
        default=env("TOKENFLOW_WEBHOOK_HOST", ""),
        help="name or address by which the API server calls the admission webhook (default: there is none)",
    )
    add("--webhook-port", type=int, default=env("TOKENFLOW_WEBHOOK_PORT", "9443"), help="port of the webhook")
    add(
        "--webhook-secret",
        default=env("TOKENFLOW_WEBHOOK_SECRET", "tokenflow-operator-webhook"),
        help="Secret in the operator's namespace that keeps the webhook's certificates",
    )
    add(
        "--webhook-configuration",
        default=env("TOKENFLOW_WEBHOOK_CONFIGURATION", "tokenflow-operator-webhook"),
        help="ValidatingWebhookConfiguration that is told whom to trust",
    )
    add(
        "--service-account",
        default=env("TOKENFLOW_SERVICE_ACCOUNT", "tokenflow-operator"),
        help="the operator's own service account, granted to read the state of hint services",
    )
    add(
        "--token-file",
        type=Path,
        default=env("TOKENFLOW_TOKEN_FILE", names.TOKEN_FILE),
        help="projected token for the hint services",
    )
    add(
        "--kubeconfig",
        default=env("TOKENFLOW_KUBECONFIG", ""),
        help="credentials for work from outside the cluster (default: the pod's service account)",
    )
    add("--workers", type=_workers, default=env("TOKENFLOW_WORKERS", "4"), help="resources worked on at a time")
    add("--port", type=int, default=env("TOKENFLOW_PORT", "8080"), help="port of the probes")
    add("--metrics-port", type=int, default=env("TOKENFLOW_METRICS_PORT", "9090"), help="port of the metrics")
    add(
        "--log-level",
        choices=["Debug", "Info", "Warning", "Error"],
        default=env("TOKENFLOW_LOG_LEVEL", "Info"),
        help="least severity that is logged",
    )
    return made


def installation(arguments: argparse.Namespace) -> Installation:
    """Return what plans depend on of a command line."""
    return Installation(
        images=Images(
            agent=arguments.agent_image,
            hintsvc=arguments.hintsvc_image,
            redis=arguments.redis_image,
            pull_policy=arguments.image_pull_policy,
            pull_secrets=tuple(filter(None, arguments.image_pull_secrets.split(","))),
        ),
        identity=Identity(namespace=arguments.pod_namespace, service_account=arguments.service_account),
        monitoring=Monitoring(labels=arguments.monitoring_labels, docs_url=arguments.docs_url),
    )


def _duration(text: str) -> float:
    """Return the seconds of a duration such as ``5m``."""
    try:
        duration_s = seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if duration_s < _SHORTEST_RESYNC_S:
        raise argparse.ArgumentTypeError(f"{text} is too short: write {_SHORTEST_RESYNC_S:g}s or longer, such as 5m")
    return duration_s


def _workers(text: str) -> int:
    """Return how many resources are worked on at a time."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers: write 1 or more")
    return int(text)


def _labels(text: str) -> dict[str, str]:
    """Return labels written as ``name=value``, separated by commas."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(name and sign for name, sign, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of labels: write name=value, separated by commas")
    return {name: value for name, _, value in pairs}
