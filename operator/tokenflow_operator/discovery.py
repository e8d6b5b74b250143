"""Finds out which optional kinds the API serves: they may be installed, and removed, at any time."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, NoReturn

from tokenflow_operator.errors import KubeError
from tokenflow_operator.kube import Kind, Kube
from tokenflow_operator.kube.kinds import OPTIONAL
from tokenflow_operator.workqueue import Backoff

PERIOD_S: Final = 10.0

_log: Final = logging.getLogger(__name__)


class Discovery:
    """Looks for optional kinds now and then."""

    def __init__(self, *, kube: Kube, backoff: Backoff | None = None) -> None:
        self._kube = kube
        self._backoff = backoff or Backoff()
        self._served: frozenset[Kind] = frozenset()

    async def run(self, found: Callable[[frozenset[Kind]], None]) -> NoReturn:
        """Look until cancelled, and call ``found`` with what is served each time that the API answered."""
        failures = 0
        while True:
            if await self._look():
                failures, pause_s = 0, PERIOD_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
                found(self._served)
            else:
                failures += 1
                pause_s = min(PERIOD_S, self._backoff.delay_s(failures))
            await asyncio.sleep(pause_s)

    async def _look(self) -> bool:
        """Look once, and return whether the API answered for any group.

        One group's answer may be missing for long: that of another server that the API server asks. What it last
        served stands until then.
        """
        answered = False
        for version in sorted({kind.api_version for kind in OPTIONAL}):
            kinds = {kind for kind in OPTIONAL if kind.api_version == version}
            try:
                plurals = await self._kube.resources(version)
            except KubeError as error:
                _log.info("it is not known whether kinds are served", extra={"group": version, "cause": str(error)})
                continue
            answered = True
            self._served = (self._served - kinds) | {kind for kind in kinds if kind.plural in plurals}
        return answered
