"""The URL of Redis in a mounted Secret: it may be changed while replicas run."""

import asyncio
import logging
from pathlib import Path
from typing import Final, NoReturn

from tokenflow_hintsvc.errors import RedisUrlError
from tokenflow_hintsvc.store.connection import Connection

LOOK_S: Final = 1.0
_MAX_BYTES: Final = 65_536

_log = logging.getLogger(__name__)


class UrlFile:
    """A file that holds one URL."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """Return the URL.

        Raises:
            RedisUrlError: the file cannot be read.
        """
        try:
            with self._path.open() as file:
                return file.read(_MAX_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            words = f"the Redis URL cannot be read from {self._path}: put it into the Secret under the key url"
            raise RedisUrlError(words) from error

    async def follow(self, connection: Connection) -> NoReturn:
        """Let a connection go where the file says whenever that changes; what is no URL changes nothing.

        Args:
            connection: made by what the file said last.
        """
        refused = ""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                url = self.read()
                if url != connection.url:
                    await connection.redirect(url)
                    _log.info("Redis is reached by another URL from now on")
                refused = ""
            except RedisUrlError as error:
                if str(error) != refused:
                    _log.warning("Redis is reached by the URL before", extra={"reason": str(error)})
                refused = str(error)
