"""Keeps a configuration up to date from a source, for ever."""

from collections.abc import AsyncIterator
from typing import Protocol

from tokenflow_hintsvc.configuration import Configuration, Origin
from tokenflow_hintsvc.sources.renewed import renewed


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
    """Offer what ``source`` yields."""
    async for document in renewed(source.documents, said=f"runtime configs by {source.origin}"):
        configuration.offer(document, origin=source.origin)
