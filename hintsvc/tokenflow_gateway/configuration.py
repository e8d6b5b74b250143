"""The runtime config that this gateway serves.

The hint service sends it along with the hints; the mounted copy serves at the start, and while the hint
service is away. Whichever has the higher generation wins, whole.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway import metrics

_log = logging.getLogger(__name__)

REREAD_S: Final = 5.0


class Configuration:
    """The config in force.

    Args:
        file: mounted copy.

    Attributes:
        current: the config; ``None`` while there was none.
        source: where it came from.
        error: why the mounted copy is refused; empty where it is not.
        arrived: set as soon as there is a config.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.current: RuntimeConfig | None = None
        self.source = ""
        self.error = ""
        self.arrived = asyncio.Event()
        self._text = ""
        self._listeners: list[Callable[[RuntimeConfig], None]] = []

    def on_change(self, listener: Callable[[RuntimeConfig], None]) -> None:
        """Have ``listener`` called with the present config, and with each later one."""
        self._listeners.append(listener)
        if self.current is not None:
            listener(self.current)

    def offer(self, config: RuntimeConfig, *, source: str) -> None:
        """Serve ``config`` from now on, unless a newer generation of the same policy is served."""
        known = self.current
        if known and known.uid == config.uid and config.generation <= known.generation:
            return
        self.current, self.source = config, source
        metrics.GENERATION.set(config.generation)
        _log.info("runtime config in force", extra={"generation": config.generation, "source": source})
        self.arrived.set()
        for listener in self._listeners:
            listener(config)

    def read(self) -> None:
        """Offer the mounted copy if it changed; a bad one is refused, its reason kept in ``error``."""
        try:
            text = self._file.read_text()
            if text == self._text:
                return
            config = RuntimeConfig.model_validate_json(text)
        except (OSError, ValidationError) as error:
            if self.error != str(error):
                metrics.CONFIG_REJECTED.inc()
                _log.warning("mounted runtime config refused", extra={"path": str(self._file), "reason": str(error)})
            self.error = str(error)
            return
        self._text, self.error = text, ""
        self.offer(config, source="file")

    async def reread(self) -> None:
        """Offer the mounted copy again and again, for ever."""
        while True:
            await asyncio.sleep(REREAD_S)
            self.read()
