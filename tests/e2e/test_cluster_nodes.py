"""The cluster as its users see it."""

import json
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.cluster


def test_three_nodes_are_ready(cluster: Any) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    ready = [n for n in nodes if any(c["type"] == "Ready" and c["status"] == "True" for c in n["status"]["conditions"])]
    assert len(ready) == len(nodes) == 3


def test_access_is_decided_by_roles(cluster: Any) -> None:
    asked = ("auth", "can-i", "--as=system:serviceaccount:default:default", "list", "secrets", "-q")
    answer = subprocess.run(["kubectl", *asked], check=False, timeout=30)
    assert answer.returncode == 1
    assert cluster.kubectl("get", "serviceaccount", "default", "-o", "name").strip() == "serviceaccount/default"
