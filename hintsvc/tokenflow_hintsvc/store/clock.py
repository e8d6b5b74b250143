"""The service's clock is that of Redis, so that replicas whose own clocks differ judge the age of telemetry alike."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.connection import Connection, mapped

_log = logging.getLogger(__name__)

SET_S: Final = 1.0


class ServiceClock:
    """Follows the clock of Redis, and runs on by this replica's own monotonic one while Redis is away.

    Args:
        connection: to Redis.
        steady: monotonic, in seconds.
        wall: Unix time in seconds, which counts until Redis first tells its own.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        steady: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._steady = steady
        self._apart_s = wall() - steady()

    def now_unix_ms(self) -> int:
        """Return the time, in Unix milliseconds."""
        return round((self._steady() + self._apart_s) * 1000)

    async def set(self) -> None:
        """Ask Redis for the time.

        Raises:
            StoreError: Redis does not answer.
        """
        async with mapped():
            asked = self._steady()
            seconds, microseconds = await self._connection.redis.time()
            middle = (asked + self._steady()) / 2
        self._apart_s = seconds + microseconds / 1e6 - middle

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            try:
                await self.set()
            except StoreError as error:
                metrics.STORE_ERRORS.labels("clock").inc()
                _log.warning("the time of Redis cannot be read", extra={"reason": str(error)})
            await asyncio.sleep(SET_S)
