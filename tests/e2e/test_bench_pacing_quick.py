"""The pacing benchmark as a whole, briefly: its parts run, and the page can be made of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.bench.pacing.results import Results

pytestmark = [pytest.mark.netns, pytest.mark.redis]


def test_a_quick_run_measures_and_reports(tmp_path: Path) -> None:
    runs, page, whole = tmp_path / "runs", tmp_path / "page.md", tmp_path / "report.html"
    python = sys.executable
    subprocess.run([python, "-m", "e2e.bench.pacing", "--quick", "--results", str(runs)], check=True, timeout=480)
    outputs = ["--markdown", str(page), "--html", str(whole)]
    subprocess.run([python, "-m", "e2e.bench.pacing.report", "--results", str(runs), *outputs], check=True, timeout=60)
    met = {part: Results(runs / f"{part}.jsonl").runs for part in ("links", "clean", "capacity")}
    assert {part: len(found) for part, found in met.items()} == {"links": 3, "clean": 4, "capacity": 2}
    assert all(run.figures["tokens"] > 0 for found in met.values() for run in found)
    assert "**thin**" in page.read_text()
    assert "<svg" in whole.read_text()
