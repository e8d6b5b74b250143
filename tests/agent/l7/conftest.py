"""A source that is attached to the running kernel."""

from collections.abc import AsyncIterator

import pytest

from tests.agent.l7.support import OnePod, Watch, needs_bpf, spec
from tokenflow_agent.errors import KernelError
from tokenflow_agent.l7 import source as l7_source
from tokenflow_agent.l7.hooks import Way
from tokenflow_agent.l7.probe import L7Probe, open_probe
from tokenflow_agent.l7.source import L7Source
from tokenflow_api.telemetry_agent import Probe


@pytest.fixture
async def watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    """Attach in the best way, or in the one that is the parameter, as on a kernel that has no other."""
    needs_bpf()
    only: Way | None = getattr(request, "param", None)
    opened: list[Way] = []

    async def opening(way: Way) -> L7Probe:
        if only not in (None, way):
            raise KernelError("TracepointMissing", "this kernel is older", lasting=True)
        opened.append(way)
        return await open_probe(way)

    monkeypatch.setattr(l7_source, "open_probe", opening)
    source = L7Source(OnePod())
    await source.follow(spec(Probe.HTTP_LATENCY, Probe.SQL_LATENCY))
    assert only in (None, *opened)
    try:
        yield Watch(source)
    finally:
        await source.close()
