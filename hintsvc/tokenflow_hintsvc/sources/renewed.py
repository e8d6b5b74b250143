"""Asks a source again for ever: at once where it ended, after a pause where it failed."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from tokenflow_api.backoff import Backoff
from tokenflow_hintsvc.errors import SourceError

ItemT = TypeVar("ItemT")

_log = logging.getLogger(__name__)

_SHORT_S: Final = 1.0
"""A source that ends sooner counts as failed."""


async def renewed(source: Callable[[], AsyncIterator[ItemT]], *, said: str) -> AsyncIterator[ItemT]:
    """Yield what a source yields, and what it yields when it is asked again.

    Args:
        source: asks, and raises SourceError where it is out of reach or refused.
        said: what it is, for the log.
    """
    backoff = Backoff()
    while True:
        began = time.monotonic()
        try:
            async for item in source():
                backoff.succeeded()
                yield item
        except SourceError as error:
            _log.warning("a source broke off", extra={"source": said, "reason": str(error)})
            await asyncio.sleep(backoff.failed())
        else:
            if time.monotonic() - began < _SHORT_S:
                await asyncio.sleep(backoff.failed())
