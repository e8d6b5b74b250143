"""What the agent runs by: from its ConfigMap at the start, from the hint services' replies afterwards."""

import logging
from pathlib import Path

from pydantic import ValidationError

from tokenflow_agent.errors import ConfigError
from tokenflow_api.faults import first_fault
from tokenflow_api.telemetry import AgentConfig

_log = logging.getLogger(__name__)


class Configuration:
    """The config in force; the one with the highest generation wins, whole."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._refused = ""
        self._words = self._read()
        self.current = self._parsed(self._words)

    def offer(self, config: AgentConfig, *, source: str) -> None:
        """Run by ``config`` from now on, unless a newer one is in force.

        Where hint services answer is taken from the file alone: replies carry where they are to answer.
        """
        known = self.current
        same = (known.namespace, known.name) == (config.namespace, config.name)
        if not same or config.generation < known.generation or config == known:
            return
        if source != "file":
            if config.generation == known.generation:
                return
            config = config.model_copy(update={"ingest": known.ingest})
        self.current = config
        _log.info("config in force", extra={"generation": config.generation, "source": source})

    def reread(self) -> None:
        """Offer the mounted file where it has changed; a bad one is refused with a log line."""
        try:
            words = self._read()
            if words == self._words:
                return
            self._words = words
            self.offer(self._parsed(words), source="file")
        except ConfigError as error:
            self._refuse(str(error))
        else:
            self._refused = ""

    def _refuse(self, reason: str) -> None:
        if reason != self._refused:
            _log.warning("config refused, the last good one stays", extra={"reason": reason})
        self._refused = reason

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be read: {error.strerror}") from error

    def _parsed(self, words: bytes) -> AgentConfig:
        try:
            return AgentConfig.model_validate_json(words)
        except ValidationError as error:
            raise ConfigError(f"{self._file}: {first_fault(error)}") from error
