"""The chart, rendered by the real helm."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.settings import cache
from e2e.commands import run

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tokenflow"


def helm(*arguments: str) -> str:
    built = cache() / "bin" / "helm"
    program = str(built) if built.exists() else shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed: 'make cluster' builds one")
    return run([program, *arguments])


def template(*arguments: str) -> str:
    # A helm that was built from its module takes itself to be for an old Kubernetes.
    return helm("template", "tokenflow", str(CHART), "--kube-version", "1.37.0", "--namespace", "system", *arguments)


def rendered(*arguments: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(template(*arguments)) if document]
