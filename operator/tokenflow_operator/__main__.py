"""``tokenflow-operator``: brings PacingPolicies and TelemetryAgents to what they ask for."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tokenflow_api import logs
from tokenflow_api.quantities import seconds
from tokenflow_operator.app import Options, run
from tokenflow_operator.errors import OperatorError
from tokenflow_operator.follow import Reach
from tokenflow_operator.plan import names
from tokenflow_operator.settings import Identity, Images, Installation


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 after a drain, 1 when it cannot go on, 2 for a wrong command line.

    A process that led and can no longer prove it ends with 3, from wherever it is.
    """
    arguments = _parser().parse_args(argv)
    logs.configure(component="operator", level=arguments.log_level)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    if arguments.kubeconfig:
        # kopf takes the path from nowhere else.
        os.environ["KUBECONFIG"] = arguments.kubeconfig
    installation = Installation(
        images=Images(
            agent=arguments.agent_image,
            hintsvc=arguments.hintsvc_image,
            redis=arguments.redis_image,
            pull_policy=arguments.image_pull_policy,
            pull_secrets=tuple(filter(None, arguments.image_pull_secrets.split(","))),
        ),
        identity=Identity(namespace=arguments.pod_namespace, service_account=arguments.service_account),
    )
    options = Options(
        reach=Reach(namespace=arguments.namespace, nodes=arguments.nodes, resync_s=arguments.resync),
        instance=os.environ.get("POD_NAME") or socket.gethostname(),
        lease=arguments.lease_name if arguments.leader_election else "",
        kubeconfig=arguments.kubeconfig or None,
        token_file=arguments.token_file,
        workers=arguments.workers,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
    )
    try:
        asyncio.run(run(options, installation))
    except OperatorError as error:
        logging.getLogger(__name__).error(str(error))  # noqa: TRY400 - the words say all there is
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenflow-operator", description=__doc__)
    parser.add_argument("--version", action="version", version=version("tokenflow-operator"))
    env = os.environ.get
    add = parser.add_argument
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
        default=env("TOKENFLOW_RESYNC", "5m"),
        help="time after which all is listed and looked at again, whatever watches told (default: 5m)",
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
    add("--workers", type=int, default=env("TOKENFLOW_WORKERS", "4"), help="resources worked on at a time")
    add("--port", type=int, default=env("TOKENFLOW_PORT", "8080"), help="port of the probes")
    add("--metrics-port", type=int, default=env("TOKENFLOW_METRICS_PORT", "9090"), help="port of the metrics")
    add(
        "--log-level",
        choices=["Debug", "Info", "Warning", "Error"],
        default=env("TOKENFLOW_LOG_LEVEL", "Info"),
        help="least severity that is logged",
    )
    return parser


def _duration(text: str) -> float:
    """Return the seconds of a duration such as ``5m``."""
    return seconds(text)


if __name__ == "__main__":
    sys.exit(main())
