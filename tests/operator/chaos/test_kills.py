"""The operator may be killed after any write: whoever starts next brings all to what a pure plan renders.

``python -m e2e.bench.operator --only chaos`` kills it at each single one.
"""

import pytest

from e2e.bench.operator.kills import create, delete, edit, killed_on_the_way, lives
from e2e.bench.operator.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]


async def test_a_creation_and_an_edit_survive_kills_on_the_way(scene: Stage) -> None:
    assert await killed_on_the_way(scene, "edited", create, writes=3) > 5
    assert await killed_on_the_way(scene, "edited", edit, writes=3) > 1
    await delete(scene, "edited")


async def test_what_is_deleted_while_the_operator_is_dead_leaves_nothing(scene: Stage) -> None:
    await scene.create("deleted")
    assert await lives(scene, "deleted", until_write=10)
    await delete(scene, "deleted")
    assert not await lives(scene, "deleted")
