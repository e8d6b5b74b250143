"""The same programs under an older kernel: it has kprobes, lacks a tracepoint, and its verifier takes less."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from e2e import vm

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/agent/tcp/test_programs.py",
    "tests/agent/listen/test_backends.py",
    "tests/agent/l7/test_faults_live.py",
)
CHOSEN = "conversation or each_backend or SockDiag or (KPROBE and (resets or dialed or test_backends))"


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.timeout(580)
def test_every_way_works_under_an_older_kernel() -> None:
    if os.geteuid() != 0:
        pytest.skip("sharing this machine's root with a virtual machine needs root")
    if lacking := vm.missing():
        pytest.skip(f"no second kernel: run 'apt-get install {' '.join(lacking)}'")
    quiet = ("-q", "-p", "no:cacheprovider", "-W", "ignore")
    tests = shlex.join([sys.executable, "-m", "pytest", *quiet, *TESTS, "-k", CHOSEN])
    result = vm.run(["sh", "-c", f"/sbin/modprobe tcp_diag && exec {tests}"], directory=ROOT, timeout_s=550)
    assert result.status == 0, result.output
    assert "12 passed" in result.output
