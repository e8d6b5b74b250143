"""The runtime config that this gateway serves.

The hint service sends it along with the hints; the mounted copy serves at the start, and while the hint
service is away. Whichever has the higher generation wins, whole.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway import metrics

_log = logging.getLogger(__name__)

REREAD_S: Final = 5.0


class Configuration:
    """The config in force."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.current: RuntimeConfig | None = None
        self.source = ""
        self.error = ""
        self._text = ""

    def offer(self, config: RuntimeConfig, *, source: str) -> None:
        """Serve ``config`` from now on, unless a newer generation of the same policy is served."""
        known = self.current
        if known and known.uid == config.uid and config.generation <= known.generation:
            return
        self.current, self.source = config, source
        metrics.GENERATION.set(config.generation)
        _log.info("runtime config in force", extra={"generation": config.generation, "source": source})

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
