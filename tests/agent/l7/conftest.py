"""A source that is attached to the running kernel."""

from collections.abc import AsyncIterator

import pytest

from tests.agent.l7.support import OnePod, Watch, needs_bpf, spec
from tokenflow_agent.l7.source import L7Source
from tokenflow_api.telemetry_agent import Probe


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    needs_bpf()
    source = L7Source(OnePod())
    await source.follow(spec(Probe.HTTP_LATENCY, Probe.SQL_LATENCY))
    try:
        yield Watch(source)
    finally:
        await source.close()
