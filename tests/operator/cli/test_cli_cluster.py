"""``kubectl tokenflow`` as people call it, against the operator on a real API server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.operator.running import Operator, eventually

pytestmark = pytest.mark.cluster

Plugin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plugin(applied: Operator) -> Plugin:
    """The plugin, found by kubectl on the PATH, in the operator's namespace."""
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}

    def call(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "tokenflow", *arguments, "-n", applied.namespace]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60, **options
        )

    return call


def test_status_tells_what_is_wrong_and_what_to_do(applied: Operator, plugin: Plugin) -> None:
    eventually(lambda: applied.condition("pp/demo", "Degraded").get("reason") == "ImagePullFailed")
    told = plugin("status")
    assert told.returncode == 1
    assert f"PacingPolicy {applied.namespace}/demo\n  not ready: " in told.stdout
    assert "absent:1" in told.stdout
    document = json.loads(plugin("status", "-o", "json").stdout)
    assert document["well"] is False
    assert [(r["kind"], r["name"]) for r in document["resources"]] == [
        ("PacingPolicy", "demo"),
        ("TelemetryAgent", "nodes"),
    ]
