"""The same programs under an older kernel, which has kprobes too."""

import os
import sys
from pathlib import Path

import pytest

from e2e import vm

ROOT = Path(__file__).parents[3]
TESTS = "tests/agent/tcp/test_programs.py"
CHOSEN = "conversation or (KPROBE and (resets or dialed))"


@pytest.mark.bpf
@pytest.mark.timeout(420)
def test_every_way_works_under_an_older_kernel() -> None:
    if os.geteuid() != 0:
        pytest.skip("sharing this machine's root with a virtual machine needs root")
    if lacking := vm.missing():
        pytest.skip(f"no second kernel: run 'apt-get install {' '.join(lacking)}'")
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore")
    result = vm.run([sys.executable, "-m", "pytest", *quiet, TESTS, "-k", CHOSEN], directory=ROOT, timeout_s=400)
    assert result.status == 0, result.output
    assert "5 passed" in result.output
