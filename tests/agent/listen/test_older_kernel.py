"""Accept queues under an older kernel, which has kprobes and lacks the tracepoint."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from e2e import vm

ROOT = Path(__file__).parents[3]
TESTS = "tests/agent/listen/test_backends.py"
CHOSEN = "KPROBE or SockDiag"


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.timeout(420)
def test_accept_queues_show_under_an_older_kernel() -> None:
    if os.geteuid() != 0:
        pytest.skip("sharing this machine's root with a virtual machine needs root")
    if lacking := vm.missing():
        pytest.skip(f"no second kernel: run 'apt-get install {' '.join(lacking)}'")
    tests = shlex.join([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS, "-k", CHOSEN])
    result = vm.run(["sh", "-c", f"/sbin/modprobe tcp_diag && exec {tests}"], directory=ROOT, timeout_s=400)
    assert result.status == 0, result.output
    assert "5 passed" in result.output
