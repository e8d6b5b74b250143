"""What goes into the real API server comes out of it as the models say, and what they refuse it refuses too."""

import copy
import json
import os
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from e2e.commands import CommandError
from tests.conftest import Cluster
from tests.crds.documents import Document, specs, taken
from tokenflow_api._base import ApiModel
from tokenflow_api.pacing_policy import PacingPolicy
from tokenflow_api.telemetry_agent import TelemetryAgent

pytestmark = pytest.mark.cluster

MODELS: tuple[type[ApiModel], ...] = (PacingPolicy, TelemetryAgent)
TOGETHER = 40
"""Documents that the API server is asked about at once: one at a time would take a second each."""


ASKED = 120
"""Documents of those nearly right that are tried: there are some thousands."""

WHOLE: dict[type[ApiModel], Document] = {
    PacingPolicy: {
        "telemetry": {"agents": [{"name": "nodes"}], "staleAfter": "5s"},
        "pacing": {"minTokensPerSecond": 5, "targetBacklog": "500ms", "maxBatchDelay": "250ms", "hintTTL": "1s"},
        "thresholds": {"healthPercent": 30, "rttInflationPercent": 125},
        "model": {"version": "v1", "canaryPercent": 10},
        "tenants": [
            {
                "name": "gold",
                "burstTokens": 20000,
                "maxTokensPerRequest": 8192,
                "apiKeysSecretRef": {"name": "gold-keys"},
                "price": {"currency": "USD", "inputMicrosPerMillionTokens": 5},
            }
        ],
        "security": {
            "jwt": {"issuer": "https://a", "audience": "a", "jwksURL": "https://a/keys", "tenantClaim": "tenant"},
            "allowCIDRs": ["10.0.0.0/8"],
            "trustedProxyCIDRs": ["fd00::/8"],
            "caBundle": "PEM",
        },
        "hintService": {
            "replicas": 3,
            "redis": {"embedded": {"storage": "1Gi"}},
            "autoscaling": {"maxReplicas": 5},
            "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        },
        "gateway": {
            "upstreams": [{"name": "llama", "url": "http://a:8000", "models": ["llama-3"], "metricsPath": "/metrics"}],
            "timeouts": {"connect": "2s", "firstToken": "60s", "betweenTokens": "30s", "total": "10m"},
            "maxRequestSize": "4Mi",
        },
        "alerts": {"for": "30s", "notifiers": [{"name": "ops", "type": "Slack", "secretRef": {"name": "ops"}}]},
        "observability": {"otlpEndpoint": "http://a:4318"},
    },
    TelemetryAgent: {
        "image": "agent:1",
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "tolerationSeconds": 5}],
        "interval": "1s",
        "ebpf": {"sampleOneIn": 1},
        "http": {"pathTemplates": ["/v1/*"], "redactHeaders": ["x-key"]},
        "gpu": {"interval": "2s"},
        "spool": {"maxSize": "64Mi"},
        "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "1"}},
        "rollout": {"canary": {"duration": "60s", "nodeSelector": {"pool": "gpu"}}, "progressDeadline": "10m"},
    },
}

# Of each type, values that are wrong in most places, or wrong by a hair.
NEAR_MISSES: dict[type, tuple[Any, ...]] = {
    int: (-1, 0, 1, 100, 101, 10**6, 2**40),
    str: (
        *(
            "",
            "x" * 70,
            "Gold",
            "a-",
            "-a",
            "a.b",
            "a b",
            "Ünicode",
            "10.0.0.0/33",
            "10.0.0/8",
            "256.0.0.1/8",
            "::1/129",
        ),
        *("10.0.0.1/8", "fd00::/8", "http://", "http://a", "https://a:99999", "ftp://a", "http://a b", "http://a/?b"),
        *("1.5s", "0s", "90m", "25h", "1h1h", "-1s", "5", "0", "1e3", "1.2345Gi", "100Ti", "1Ki", "64mi", "usd", "USD"),
    ),
}


def asked(documents: list[Document]) -> dict[str, Document]:
    """Return what the API server would make of those documents that it takes, by name."""
    command = ["kubectl", "--request-timeout=20s", "create", "--dry-run=server", "-o", "json", "-f", "-"]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    done = subprocess.run(command, input=listed, capture_output=True, text=True, check=False, timeout=60)
    answers = {}
    rest = done.stdout.strip()
    while rest:
        answer, end = json.JSONDecoder().raw_decode(rest)
        answers[answer["metadata"]["name"]] = answer
        rest = rest[end:].strip()
    assert answers or "is invalid" in done.stderr, done.stderr
    return answers


def named(model: type[ApiModel], documents: list[Document]) -> list[Document]:
    kind = model.__name__
    return [
        {"apiVersion": "tokenflow.io/v1alpha1", "kind": kind, "metadata": {"name": f"d{number}"}, "spec": spec}
        for number, spec in enumerate(documents)
    ]


def drawn(strategy: st.SearchStrategy[Document]) -> list[Document]:
    """Return documents of a strategy, the same ones in every run."""
    documents = list[Document]()

    @settings(
        max_examples=TOGETHER,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(document: Document) -> None:
        documents.append(document)

    draw()
    return documents


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("crds")
def test_what_the_model_takes_comes_back_as_it_is(model: type[ApiModel]) -> None:
    documents = named(model, drawn(specs(model)))
    answers = asked(documents)
    for document in documents:
        answer = answers.get(document["metadata"]["name"])
        assert answer is not None, f"refused: {json.dumps(document)}"
        ours = model.model_validate(document)
        assert answer["spec"] == ours.model_dump(mode="json", exclude_none=True)["spec"]
        assert model.model_validate(answer).model_dump()["spec"] == ours.model_dump()["spec"]


def leaves(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places of the numbers and strings of a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in inner:
        if type(value) in NEAR_MISSES:
            yield (*path, name)
        yield from leaves(value, (*path, name))


def nearly_right(whole: Document) -> Iterator[Document]:
    """Yield documents in which one number or string is another."""
    for *parents, last in leaves(whole):
        for value in NEAR_MISSES[type(_at(whole, parents)[last])]:
            document = copy.deepcopy(whole)
            _at(document, parents)[last] = value
            yield document


def _at(place: Any, path: list[str | int]) -> Any:
    for name in path:
        place = place[name]
    return place


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("crds")
def test_server_and_model_refuse_the_same(model: type[ApiModel]) -> None:
    every = list(nearly_right(WHOLE[model]))
    documents = named(model, random.Random(0).sample(every, ASKED))  # noqa: S311 - a choice of cases
    answers = asked(documents)
    differ = [
        ("the server" if document["metadata"]["name"] in answers else "the model", document["spec"])
        for document in documents
        if (document["metadata"]["name"] in answers) != taken(model, document)
    ]
    assert differ == [], "taken by one alone"


def test_what_no_model_knows_is_pruned_with_a_warning(crds: Cluster) -> None:
    document = named(TelemetryAgent, [{"intervall": "5s", "ebpf": {"probez": []}}])[0]
    command = ["kubectl", "create", "--dry-run=server", "--validate=warn", "-o", "json", "-f", "-"]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=True, timeout=60)
    assert 'unknown field "spec.intervall"' in done.stderr
    assert 'unknown field "spec.ebpf.probez"' in done.stderr
    spec = json.loads(done.stdout)["spec"]
    assert "intervall" not in spec
    assert "probez" not in spec["ebpf"]
    with pytest.raises(CommandError, match=r'unknown field "spec\.intervall"'):
        crds.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(document))


def test_what_is_stored_is_read_back(crds: Cluster) -> None:
    namespace = f"round-trip-{os.getpid()}"
    documents = [named(model, [WHOLE[model]])[0] for model in MODELS]
    crds.kubectl("create", "namespace", namespace)
    try:
        for model, document in zip(MODELS, documents, strict=True):
            crds.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(document))
            stored = json.loads(crds.kubectl("get", "-n", namespace, model.__name__, "d0", "-o", "json"))
            assert stored["apiVersion"] == "tokenflow.io/v1alpha1"
            assert stored["spec"] == model.model_validate(document).model_dump(mode="json", exclude_none=True)["spec"]
            # What was read may be written as it is: nothing changes by that.
            crds.kubectl("replace", "-n", namespace, "-f", "-", stdin=json.dumps(stored))
            again = json.loads(crds.kubectl("get", "-n", namespace, model.__name__, "d0", "-o", "json"))
            assert again["metadata"]["generation"] == stored["metadata"]["generation"]
    finally:
        crds.kubectl("delete", "namespace", namespace, "--wait=false")
