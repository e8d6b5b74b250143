"""A control plane for these tests alone: what they break must not disturb others."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from e2e.bench.operator.site import Site, site
from e2e.bench.operator.stage import Stage, stage

NODES = 3


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> Iterator[Site]:
    # It says what is missing where a cluster cannot be run.
    request.getfixturevalue("cluster")
    with site() as made:
        made.add_nodes(NODES)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(place: Site) -> AsyncIterator[Stage]:
    async with stage(place) as made:
        yield made
