"""What the chart renders in its main shapes stands in tests/charts/golden, so that a change of it is seen in review.

Write it anew with: TOKENFLOW_UPDATE_GOLDEN=1 pytest tests/charts/test_golden.py
"""

import os
from pathlib import Path

import pytest

from tests.charts.rendering import template

GOLDEN = Path(__file__).parent / "golden"
SHAPES = ("default", "one-namespace", "all-options")


@pytest.mark.cluster
@pytest.mark.parametrize("shape", SHAPES)
def test_the_chart_renders_as_reviewed(cluster: object, shape: str) -> None:
    assert cluster
    text = template("--values", str(GOLDEN / f"{shape}.values.yaml"), "--set", "crds.enabled=false")
    path = GOLDEN / f"{shape}.yaml"
    if os.environ.get("TOKENFLOW_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
