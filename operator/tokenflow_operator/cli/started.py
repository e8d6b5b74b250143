"""How the operator of a namespace was started, which its plans depend on."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.command_line import installation, parser
from tokenflow_operator.errors import ForbiddenError, NotFoundError
from tokenflow_operator.settings import Installation

_OPERATORS: Final = "app.kubernetes.io/name=tokenflow-operator"
_VARIABLES: Final = "TOKENFLOW_"
_AN_IMAGE: Final = f"{_VARIABLES}HINTSVC_IMAGE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """How an operator was started.

    Attributes:
        namespace: the only one that it looks after; empty for all.
    """

    installation: Installation
    namespace: str


def started_for(kubectl: Kubectl, namespace: str) -> Started:
    """Return how the operator of a namespace was started: by its Deployment, or by variables for one without.

    Raises:
        NotFoundError: no operator looks after the namespace, or it is not known how it was started.
        KubeError: Deployments could not be read.
    """
    try:
        deployments = kubectl.items(["deployments"], everywhere=True, labels=_OPERATORS)
    except ForbiddenError:
        deployments = []
    operators = [*map(_by_deployment, deployments), *_by_variables()]
    if not operators:
        words = f"there is no Deployment labelled {_OPERATORS} that you may read, which tells the images that run"
        raise NotFoundError(f"{words}: set the variables that the operator was started with, such as {_AN_IMAGE}")
    # One that looks after this namespace alone keeps those of the whole cluster out of it.
    for operator in sorted(operators, key=lambda operator: operator.namespace, reverse=True):
        if operator.namespace in (namespace, ""):
            return operator
    others = ", ".join(operator.namespace for operator in operators)
    raise NotFoundError(f"no operator looks after namespace {namespace}, only after {others}: nothing would come of it")


def _by_deployment(deployment: Mapping[str, Any]) -> Started:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}
    environment["POD_NAMESPACE"] = deployment["metadata"]["namespace"]
    # The operator may be of a release with further options.
    arguments, _ = parser(environment).parse_known_args(container.get("args", []))
    return Started(installation=installation(arguments), namespace=arguments.namespace)


def _by_variables() -> Iterator[Started]:
    if any(name.startswith(_VARIABLES) for name in os.environ):
        arguments = parser(os.environ).parse_args([])
        yield Started(installation=installation(arguments), namespace=arguments.namespace)
