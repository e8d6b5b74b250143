"""``tokenflow-operator``: brings PacingPolicies and TelemetryAgents to what they ask for."""

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Final

from tokenflow_api import logs
from tokenflow_api.tasks import TaskEndedError
from tokenflow_operator.app import Options, run
from tokenflow_operator.command_line import installation, parser
from tokenflow_operator.errors import OperatorError
from tokenflow_operator.follow import Reach
from tokenflow_operator.webhook import WebhookOptions

_COLLECTED_AFTER: Final = 10_000
"""New objects between two looks for garbage."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: 0 after a drain, 1 when it cannot go on, 2 for a wrong command line.

    A process that led and can no longer prove it ends with 3, from wherever it is.
    """
    arguments = parser(os.environ).parse_args(argv)
    logs.configure(component="operator", level=arguments.log_level)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    if arguments.kubeconfig:
        # kopf takes the path from nowhere else.
        os.environ["KUBECONFIG"] = arguments.kubeconfig
    options = Options(
        reach=Reach(namespace=arguments.namespace, nodes=arguments.nodes, resync_s=arguments.resync),
        instance=os.environ.get("POD_NAME") or socket.gethostname(),
        lease=arguments.lease_name if arguments.leader_election else "",
        webhook=_webhook(arguments),
        kubeconfig=arguments.kubeconfig or None,
        token_file=arguments.token_file,
        workers=arguments.workers,
        port=arguments.port,
        metrics_port=arguments.metrics_port,
    )
    _spare_the_collector()
    try:
        asyncio.run(run(options, installation(arguments)))
    except (OperatorError, TaskEndedError) as error:
        logging.getLogger(__name__).error(str(error))  # noqa: TRY400 - the words say all there is
        return 1
    return 0


def _spare_the_collector() -> None:
    """Let the garbage collector look seldom, and only at what the work makes.

    Manifests are trees without cycles, of which a listing makes tens of thousands. To search them and all modules for
    cycles each time took a quarter of the processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER)


def _webhook(arguments: argparse.Namespace) -> WebhookOptions | None:
    if not arguments.webhook_host:
        return None
    return WebhookOptions(
        host=arguments.webhook_host,
        port=arguments.webhook_port,
        namespace=arguments.pod_namespace,
        secret=arguments.webhook_secret,
        configuration=arguments.webhook_configuration,
    )


if __name__ == "__main__":
    sys.exit(main())
