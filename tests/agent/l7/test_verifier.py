"""How much of the verifier's patience the programs take: no kernel takes more than a million instructions."""

import re
from pathlib import Path

import pytest

from tests.agent.l7.support import needs_bpf
from tokenflow_agent.kernel.loader import Loaded
from tokenflow_agent.l7 import probe
from tokenflow_agent.l7.hooks import Way

MOST = 150_000


@pytest.mark.bpf
@pytest.mark.parametrize("way", Way)
async def test_the_verifier_is_done_early_with_each_program(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_bpf()
    loaded: list[Loaded] = []

    class Watched(probe.L7Probe):
        def __init__(self, programs: Loaded, links: list[int], *, ring_bytes: int) -> None:
            super().__init__(programs, links, ring_bytes=ring_bytes)
            loaded.append(programs)

    monkeypatch.setattr(probe, "L7Probe", Watched)
    opened = await probe.open_probe(way)
    try:
        verified = {name: instructions(program) for name, program in loaded[0].programs.items()}
    finally:
        opened.close()
    assert {name: count for name, count in verified.items() if count >= MOST} == {}
    assert min(verified.values()) > 0


def instructions(program: int) -> int:
    """Return how many instructions the verifier went through."""
    found = re.search(r"^verified_insns:\s*(\d+)$", Path(f"/proc/self/fdinfo/{program}").read_text(), re.MULTILINE)
    assert found, "this kernel is older than 5.16"
    return int(found[1])
