"""How the operator was started, which a simulation has to know."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.operator.cli.stand_in import stand_in
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.started import Started, started_for
from tokenflow_operator.errors import NotFoundError


def found(folder: Path, *deployments: dict[str, Any]) -> Started:
    (folder / "answer").write_text(json.dumps({"items": deployments}))
    with stand_in(folder, f"cat {folder}/answer"):
        return started_for(Kubectl(), "llm")


def deployment(*arguments: str, **variables: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in variables.items()]
    own = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    container = {"name": "operator", "env": [own, *env], "args": list(arguments)}
    return {"metadata": {"namespace": "tokenflow-system"}, "spec": {"template": {"spec": {"containers": [container]}}}}


def test_its_deployment_tells(tmp_path: Path) -> None:
    variables = {"TOKENFLOW_HINTSVC_IMAGE": "registry/hintsvc:2", "TOKENFLOW_NAMESPACE": "llm"}
    started = found(tmp_path, deployment("--agent-image=registry/agent:2", "--not-known-to-this-release", **variables))
    assert started.installation.images.hintsvc == "registry/hintsvc:2"
    assert started.installation.images.agent == "registry/agent:2"
    assert started.installation.identity.namespace == "tokenflow-system"
    assert started.namespace == "llm"


def test_without_a_deployment_the_same_variables_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENFLOW_REDIS_IMAGE", "redis:9")
    assert found(tmp_path).installation.images.redis == "redis:9"


def test_with_neither_nothing_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKENFLOW_REDIS_IMAGE", "TOKENFLOW_TEST_KUBECONFIG", "TOKENFLOW_KEEP_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotFoundError, match="TOKENFLOW_HINTSVC_IMAGE"):
        found(tmp_path)


def test_the_operator_of_the_namespace_goes_before_that_of_the_cluster(tmp_path: Path) -> None:
    everywhere, here, elsewhere = (
        deployment(TOKENFLOW_REDIS_IMAGE=image, TOKENFLOW_NAMESPACE=namespace)
        for image, namespace in (("redis:1", ""), ("redis:2", "llm"), ("redis:3", "other"))
    )
    assert found(tmp_path, everywhere, here, elsewhere).installation.images.redis == "redis:2"
    assert found(tmp_path, elsewhere, everywhere).installation.images.redis == "redis:1"


def test_where_no_operator_looks_nothing_would_come_of_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="only after other: nothing would come of it"):
        found(tmp_path, deployment(TOKENFLOW_NAMESPACE="other"))
