"""Which model serves: the one that the policy names, or the promoted one."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from tokenflow_api.pacing_policy import Model as ModelSpec
from tokenflow_hintsvc.learn.errors import ModelFormatError
from tokenflow_hintsvc.learn.model import Model
from tokenflow_hintsvc.store.models import Models

_log = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""Time until a model that was refused is read again: it may have been pushed anew."""


class Choice:
    """The model in memory, and why there is none.

    A model in memory outlives Redis: where Redis has lost all models, it is put back, with its promotion.

    Args:
        models: the registry.
        clock: monotonic, in seconds.

    Attributes:
        trouble: why no model serves, or not the one that was asked for; empty where all is well.
    """

    def __init__(self, models: Models, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._models = models
        self._clock = clock
        self._refused = ("", 0.0)
        self._loaded: Model | None = None
        self._promoted = False
        self.trouble = ""

    async def model(self, spec: ModelSpec) -> Model | None:
        """Return the model that ``spec`` asks for; ``None`` where it is missing or not sound.

        Raises:
            StoreError: Redis does not answer.
        """
        if self._loaded is not None and await self._models.empty():
            await self._put_back(self._loaded)
        wanted = spec.version or await self._models.promoted()
        if not wanted:
            self._miss("no model is promoted: 'tokenflow-hintsvc models push DIR', then 'models promote VERSION'")
            return None
        self._promoted = not spec.version
        if self._loaded is not None and self._loaded.card.version == wanted:
            self.trouble = ""
            return self._loaded
        refused, at = self._refused
        if wanted == refused and self._clock() < at + RETRY_S:
            return None
        bundle = await self._models.get(wanted)
        if not bundle:
            self._miss(f"there is no model {wanted}: push it with 'tokenflow-hintsvc models push DIR'")
            return None
        try:
            self._loaded = await asyncio.to_thread(Model.read, bundle)
        except ModelFormatError as error:
            _log.warning("a model is refused", extra={"version": wanted, "reason": str(error)})
            self._miss(f"model {wanted} is refused: {error}")
            self._refused = (wanted, self._clock())
            return None
        self.trouble = ""
        return self._loaded

    def _miss(self, trouble: str) -> None:
        self.trouble = f"the law runs alone: {trouble}"
        self._loaded = None

    async def _put_back(self, model: Model) -> None:
        _log.warning("Redis has lost its models: the one in memory goes back", extra={"version": model.card.version})
        await self._models.push(model.bundle)
        if self._promoted:
            await self._models.promote(model.card.version)
