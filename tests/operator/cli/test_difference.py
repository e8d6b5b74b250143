"""What differs between two manifests, field by field."""

import json
from typing import Any

import pytest

from tokenflow_operator.cli.difference import differences


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(change) for change in differences({"metadata": {}, **before}, {"metadata": {}, **after})]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}}, "spec.replicas: 2 -> 3"),
        ({"spec": {}}, {"spec": {"paused": True}}, "spec.paused: (none) -> true"),
        ({"spec": {"paused": True}}, {"spec": {}}, "spec.paused: true -> (none)"),
        ({"spec": {"args": ["a"]}}, {"spec": {"args": ["b"]}}, 'spec.args: ["a"] -> ["b"]'),
        (
            {"spec": {"containers": [{"name": "b", "image": "x"}, {"name": "a"}]}},
            {"spec": {"containers": [{"name": "a"}, {"name": "b", "image": "y"}]}},
            'spec.containers[b].image: "x" -> "y"',
        ),
        (
            {"data": {"runtime.json": json.dumps({"spec": {"mode": "Off"}})}},
            {"data": {"runtime.json": json.dumps({"spec": {"mode": "Shadow"}})}},
            'data[runtime.json].spec.mode: "Off" -> "Shadow"',
        ),
        ({"data": {"a": "{no json"}}, {"data": {"a": "{nor this"}}, 'data.a: "{no json" -> "{nor this"'),
        ({"data": {"a": "x" * 200}}, {"data": {"a": "y" * 300}}, "data.a: 200 characters -> 300 characters"),
    ],
)
def test_a_change_is_told_where_it_is(before: dict[str, Any], after: dict[str, Any], words: str) -> None:
    assert told(before, after) == [words]


def test_what_the_api_server_keeps_account_of_is_left_out() -> None:
    before = {"metadata": {"resourceVersion": "1", "annotations": {"tokenflow.io/intent": "a"}}, "status": {"a": 1}}
    after = {"metadata": {"resourceVersion": "2", "annotations": {"tokenflow.io/intent": "b"}}, "status": {"a": 2}}
    assert differences(before, after) == []


def test_labels_and_annotations_of_others_are_told() -> None:
    before = {"metadata": {"labels": {"team": "a"}}}
    after = {"metadata": {"labels": {"team": "b"}, "annotations": {"note": "x"}}}
    assert told(before, after) == ['metadata.labels.team: "a" -> "b"', 'metadata.annotations.note: (none) -> "x"']
