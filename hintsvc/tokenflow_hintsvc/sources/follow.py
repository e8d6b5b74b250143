"""Keeps a configuration up to date from a source, for ever."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final, Protocol

from tokenflow_api.backoff import Backoff
from tokenflow_hintsvc.configuration import Configuration, Origin
from tokenflow_hintsvc.errors import SourceError

_log = logging.getLogger(__name__)

_SHORT_S: Final = 1.0
"""A source that ends sooner counts as failed."""


class ConfigSource(Protocol):
    """Somewhere that documents come from."""

    @property
    def origin(self) -> Origin:
        """What the documents are known by."""

    def documents(self) -> AsyncIterator[bytes]:
        """Yield the present document and each one that follows; end where it must be asked again.

        Raises:
            SourceError: it is out of reach, or refused.
        """


async def follow(configuration: Configuration, source: ConfigSource) -> None:
    """Offer what ``source`` yields: asked again at once where it ended, after a pause where it failed."""
    backoff = Backoff()
    while True:
        began = time.monotonic()
        try:
            async for document in source.documents():
                backoff.succeeded()
                configuration.offer(document, origin=source.origin)
        except SourceError as error:
            _log.warning("a source of runtime configs broke off", extra={"reason": str(error)})
            await asyncio.sleep(backoff.failed())
        else:
            if time.monotonic() - began < _SHORT_S:
                await asyncio.sleep(backoff.failed())
