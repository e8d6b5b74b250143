"""The OpenAPI document, against JSON Schema's own rules and against the endpoints that it tells of."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from tokenflow_hintsvc.__main__ import main
from tokenflow_hintsvc.api.application import ENDPOINTS
from tokenflow_hintsvc.api.openapi import Document

DOCUMENT = Document(ENDPOINTS).content()
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def resolved(reference: str) -> object:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_a_fuzzer_can_read_it() -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.validate()
    assert len([operation for operation in schema.get_all_operations() if operation.ok()]) == len(ENDPOINTS)


def test_every_schema_keeps_to_json_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_reference_leads_somewhere() -> None:
    assert all(resolved(reference) for reference in references(DOCUMENT))


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_an_operation_says_what_it_needs_and_answers(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"].endswith((".", "?"))
    named = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
    assert named == re.findall(r"\{(\w+)\}", path)
    # Those of the head are bounded together, by the listeners.
    for parameter in (one for one in operation["parameters"] if one["in"] != "header"):
        assert {"maxLength", "maximum", "enum", "pattern"} & parameter["schema"].keys(), "inputs are bounded"
    assert ("requestBody" in operation) == (method == "post")
    if operation["security"] or path in ("/v1/hints/{tenant}", "/v1/hints/stream"):
        assert {"401", "403", "429"} <= operation["responses"].keys()


def test_json_bodies_have_an_example_that_is_taken() -> None:
    models = [one.body for one in ENDPOINTS if one.body and one.body_media_type == "application/json"]
    assert [model.__name__ for model in models] == ["AdmitRequest", "CommitRequest"]
    for model in models:
        (example,) = DOCUMENT["components"]["schemas"][model.__name__]["examples"]
        assert model.model_validate(example).model_dump(include=set(example)) == example


def test_names_of_operations_are_unique() -> None:
    names = [operation["operationId"] for operations in DOCUMENT["paths"].values() for operation in operations.values()]
    assert sorted(names) == sorted(set(names))


def test_only_probes_are_public() -> None:
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.public] == ["/healthz", "/readyz"]


def test_the_command_prints_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi"]) == 0
    assert json.loads(capfd.readouterr().out) == DOCUMENT
