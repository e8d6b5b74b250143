"""Whoever wrote a resource for the last release can apply it to this one, and it means the same."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crds.compatibility import Schema, broken, broken_definitions
from tokenflow_api.crdgen import RESOURCES, Resource, definition

RELEASES = Path(__file__).parent / "golden"
"""A folder for each release, named after it, with its CustomResourceDefinitions."""
LAST_RELEASE = max(
    RELEASES.iterdir(), key=lambda folder: [int(part) for part in folder.name.removeprefix("v").split(".")]
)

OLD: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 63, "pattern": "^a"},
        "count": {"type": "integer", "minimum": 1, "maximum": 10, "default": 5},
        "mode": {"type": "string", "enum": ["On", "Off"]},
        "list": {
            "type": "array",
            "maxItems": 3,
            "items": {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9}}},
        },
    },
    "x-kubernetes-validations": [{"rule": "self.count > 1", "message": "count must be above 1"}],
}


def with_(path: str, value: Any) -> Schema:
    """Return the old schema with one thing changed; ``None`` takes it away."""
    schema = copy.deepcopy(OLD)
    *parents, last = path.split("/")
    place = schema
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return schema


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_nothing_is_taken_away_since_the_last_release(resource: Resource) -> None:
    last = yaml.safe_load((LAST_RELEASE / f"{resource.plural}.yaml").read_text())
    assert broken_definitions(last, definition(resource)) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("properties/count", None, "count is gone"),
        ("properties/list/items/properties/a", None, "list[].a is gone"),
        ("properties/count/type", "string", "count: type changed from 'integer' to 'string'"),
        ("properties/count/minimum", 2, "count: minimum raised from 1 to 2"),
        ("properties/count/maximum", 9, "count: maximum lowered from 10 to 9"),
        ("properties/count/default", 6, "count: default changed from 5 to 6"),
        ("properties/name/maxLength", 50, "name: maxLength lowered from 63 to 50"),
        ("properties/name/minLength", 1, "name: minLength raised from None to 1"),
        ("properties/name/pattern", "^b", "name: pattern changed from '^a' to '^b'"),
        ("properties/mode/enum", ["On"], "mode: 'Off' is no longer allowed"),
        ("properties/name/enum", ["a"], "name: 'any other value' is no longer allowed"),
        ("properties/list/maxItems", 2, "list: maxItems lowered from 3 to 2"),
        ("properties/list/items/properties/a/maximum", 8, "list[].a: maximum lowered from 9 to 8"),
        ("required", ["name", "count"], "the object.count is required now"),
        (
            "x-kubernetes-validations",
            [{"rule": "self.count > 2", "message": "count must be above 2"}],
            "the object: a new rule: count must be above 2",
        ),
    ],
)
def test_what_breaks_is_found(path: str, value: object, words: str) -> None:
    assert list(broken(OLD, with_(path, value))) == [words]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties/new", {"type": "string"}),
        ("properties/count/minimum", 0),
        ("properties/count/maximum", 11),
        ("properties/count/maximum", None),
        ("properties/name/maxLength", 64),
        ("properties/mode/enum", ["On", "Off", "Auto"]),
        ("properties/mode/enum", None),
        ("properties/mode/description", "more words"),
        ("required", []),
        ("x-kubernetes-validations", []),
    ],
)
def test_what_only_adds_is_no_break(path: str, value: object) -> None:
    assert list(broken(OLD, with_(path, value))) == []


def test_a_rule_about_a_new_field_is_no_break() -> None:
    schema = with_("properties/new", {"type": "integer"})
    schema["x-kubernetes-validations"].append({"rule": "self.new < self.count", "message": "new must be below count"})
    assert list(broken(OLD, schema)) == []


def test_a_version_stays_served() -> None:
    old = {"spec": {"versions": [{"name": "v1", "served": True, "schema": {"openAPIV3Schema": OLD}}]}}
    assert broken_definitions(old, old) == []
    for versions in ([], [{**old["spec"]["versions"][0], "served": False}]):
        assert broken_definitions(old, {"spec": {"versions": versions}}) == ["v1 is no longer served"]
