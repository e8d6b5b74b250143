"""HTTP under an older kernel, whose verifier takes less."""

import os
import sys
from pathlib import Path

import pytest

from e2e import vm

ROOT = Path(__file__).parents[3]
TESTS = "tests/agent/l7/test_faults_live.py"


@pytest.mark.bpf
@pytest.mark.timeout(420)
def test_each_backend_counts_requests_under_an_older_kernel() -> None:
    if os.geteuid() != 0:
        pytest.skip("sharing this machine's root with a virtual machine needs root")
    if lacking := vm.missing():
        pytest.skip(f"no second kernel: run 'apt-get install {' '.join(lacking)}'")
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore")
    result = vm.run(
        [sys.executable, "-m", "pytest", *quiet, TESTS, "-k", "each_backend"], directory=ROOT, timeout_s=400
    )
    assert result.status == 0, result.output
    assert "2 passed" in result.output
