"""How much is logged follows the policy."""

import logging

import pytest

from tests.hintsvc.support import runtime
from tokenflow_api.serving.level import follow_level
from tokenflow_hintsvc.configuration import Configuration, Origin


@pytest.mark.parametrize(
    ("written", "level"), [("Debug", logging.DEBUG), ("Warning", logging.WARNING), ("Error", logging.ERROR)]
)
def test_an_edit_of_the_policy_sets_the_level(written: str, level: int) -> None:
    configuration = Configuration()
    configuration.on_change(follow_level)
    document = runtime(observability={"logLevel": written}).model_dump_json().encode()
    configuration.offer(document, origin=Origin.FILE)
    assert logging.getLogger().level == level
