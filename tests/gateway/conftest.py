"""Time for a busy machine."""

import pytest

from tests.gateway.support import NEVER_S
from tokenflow_gateway.admission import quota


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no slow answer for silence."""
    monkeypatch.setattr(quota, "ADMIT_S", NEVER_S)
    monkeypatch.setattr(quota, "COMMIT_S", NEVER_S)
