"""Whatever fails between the operator and its API server, the cluster comes to what a pure plan renders."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.bench.operator.disturbances import DISTURBANCES, MAX_RECOVERY_S, Disturbance, recovery_s
from e2e.bench.operator.kills import delete
from e2e.bench.operator.stage import Stage
from e2e.bench.operator.subject import at_work

NAMESPACE = "disturbed"
HOLD_S = 1.0

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_rest(scene: Stage) -> AsyncIterator[Stage]:
    """The examples as planned, and an operator that looks after them."""
    with at_work(scene.operator):
        await scene.create(NAMESPACE)
        await scene.converged(NAMESPACE)
        yield scene
    await delete(scene, NAMESPACE)


@pytest.mark.parametrize("disturbance", DISTURBANCES, ids=lambda disturbance: disturbance.name)
async def test_it_recovers_from(at_rest: Stage, disturbance: Disturbance) -> None:
    assert await recovery_s(at_rest, NAMESPACE, disturbance, hold_s=HOLD_S) < MAX_RECOVERY_S
