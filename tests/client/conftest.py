"""Fixtures of this folder: a hint service that says what it is told, and a model, on real TCP."""

from collections.abc import AsyncIterator

import pytest

from e2e.upstream import application
from tests.client.hint_service import FakeHintService, served
from tests.hintsvc.conftest import redis_server

__all__ = ["redis_server"]


@pytest.fixture
async def hints() -> AsyncIterator[FakeHintService]:
    service = FakeHintService()
    async with served(service.application()) as url:
        service.url = url
        yield service


@pytest.fixture
async def model() -> AsyncIterator[str]:
    """Base URL of an OpenAI-compatible endpoint, far faster than any hint here."""
    async with served(application(tokens_per_second=5000)) as url:
        yield f"{url}/v1"
