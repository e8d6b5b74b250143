"""A model that was trained once, on a stretch of real telemetry."""

from pathlib import Path

import pytest

from tokenflow_hintsvc.learn import sources
from tokenflow_hintsvc.learn.model import Bundle, Model
from tokenflow_hintsvc.learn.series import Series
from tokenflow_hintsvc.learn.training import train

TELEMETRY = Path(__file__).parent / "data" / "telemetry.csv"


@pytest.fixture(scope="session")
def telemetry() -> list[Series]:
    return sources.read(TELEMETRY)


@pytest.fixture(scope="session")
def bundle(telemetry: list[Series]) -> Bundle:
    return train(telemetry, seed=1, now_unix_ms=lambda: 1_700_000_000_000)


@pytest.fixture(scope="session")
def model(bundle: Bundle) -> Model:
    return Model.read(bundle)
