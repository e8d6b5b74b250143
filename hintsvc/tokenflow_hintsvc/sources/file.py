"""The mounted copy of the runtime config."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from tokenflow_hintsvc.configuration import MAX_BYTES, Origin

_log = logging.getLogger(__name__)

REREAD_S: Final = 0.5


class FileSource:
    """A file that is read again and again: it costs less than to be told of changes, and works on any mount."""

    origin = Origin.FILE

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        """Return the present document, cut where it is above the bound; ``None`` if there is none."""
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            _log.debug("no mounted runtime config", extra={"path": str(self._path), "reason": str(error)})
            return None

    async def documents(self) -> AsyncIterator[bytes]:
        """Yield the present document and each one that follows."""
        known = None
        while True:
            document = self.read()
            if document is not None and document != known:
                known = document
                yield document
            await asyncio.sleep(REREAD_S)
