"""A replica's place among the others: it says again and again that it lives, and what it serves."""

import asyncio
import logging
import time
from typing import Final

from tokenflow_api.cluster import Replica
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.replicas import Replicas

_log = logging.getLogger(__name__)

ACKNOWLEDGE_S: Final = 1.0


class Membership:
    """Acknowledges the generation that this replica serves."""

    def __init__(self, *, name: str, replicas: Replicas, configuration: Configuration) -> None:
        self._name = name
        self._replicas = replicas
        self._configuration = configuration
        self._changed = asyncio.Event()
        configuration.on_change(lambda _: self._changed.set())
        configuration.on_error(lambda _: self._changed.set())

    async def run(self) -> None:
        """Acknowledge at once when the config changes, and again and again, until cancelled."""
        try:
            while True:
                await self._acknowledge()
                try:
                    async with asyncio.timeout(ACKNOWLEDGE_S):
                        await self._changed.wait()
                except TimeoutError:
                    continue
                self._changed.clear()
        finally:
            await self._withdraw()

    async def _acknowledge(self) -> None:
        config = self._configuration.current
        if config is None:
            return
        try:
            await self._replicas.acknowledge(
                Replica(
                    name=self._name,
                    generation=config.generation,
                    at_unix_ms=time.time_ns() // 1_000_000,
                    error=self._configuration.error,
                )
            )
        except StoreError as error:
            metrics.STORE_ERRORS.labels("acknowledge").inc()
            _log.warning("the generation cannot be acknowledged", extra={"reason": str(error)})

    async def _withdraw(self) -> None:
        try:
            await self._replicas.withdraw(self._name)
        except StoreError as error:
            _log.warning("this replica's acknowledgement runs out by itself", extra={"reason": str(error)})
