"""How the operator was started, which its plans depend on."""

import os
from dataclasses import dataclass
from typing import Final

from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.command_line import installation, parser
from tokenflow_operator.errors import ForbiddenError, NotFoundError
from tokenflow_operator.settings import Installation

_OPERATORS: Final = "app.kubernetes.io/name=tokenflow-operator"
_VARIABLES: Final = "TOKENFLOW_"
_AN_IMAGE: Final = f"{_VARIABLES}HINTSVC_IMAGE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """How the operator was started.

    Attributes:
        namespace: the only one that it looks after; empty for all.
    """

    installation: Installation
    namespace: str


def started_with(kubectl: Kubectl) -> Started:
    """Return how the operator was started: by its Deployment, or else by the variables of this process.

    Raises:
        NotFoundError: there is neither.
        KubeError: Deployments could not be read.
    """
    try:
        found = kubectl.items(["deployments"], everywhere=True, labels=_OPERATORS)
    except ForbiddenError:
        found = []
    environment, given = dict(os.environ), []
    if not found and not any(name.startswith(_VARIABLES) for name in environment):
        words = (
            f"there is no Deployment labelled {_OPERATORS} that you may read, so that it is not known which images run"
        )
        raise NotFoundError(f"{words}: set the variables that the operator was started with, such as {_AN_IMAGE}")
    if found:
        container = found[0]["spec"]["template"]["spec"]["containers"][0]
        environment = {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
        environment["POD_NAMESPACE"] = found[0]["metadata"]["namespace"]
        given = container.get("args", [])
    arguments, _ = parser(environment).parse_known_args(given)
    return Started(installation=installation(arguments), namespace=arguments.namespace)
