"""The runtime config that this replica serves: swapped whole, refused whole, never for an older one."""

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from tokenflow_api.faults import first_fault
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import ConfigError

_log = logging.getLogger(__name__)

MAX_BYTES: Final = 1 << 20
"""The API server takes no larger ConfigMap."""


class Origin(StrEnum):
    """Where a document came from."""

    FILE = "file"
    """The mounted copy, which the kubelet refreshes up to a minute late."""
    WATCH = "watch"
    """The API server, at once."""


def parse(document: bytes) -> RuntimeConfig:
    """Return the runtime config that ``document`` holds.

    Raises:
        ConfigError: it is too large, not JSON, or not such a document; the message names the field.
    """
    if len(document) > MAX_BYTES:
        raise ConfigError(f"the runtime config is refused: it is above {MAX_BYTES} bytes")
    try:
        return RuntimeConfig.model_validate_json(document)
    except ValidationError as error:
        raise ConfigError(f"the runtime config is refused: {first_fault(error, whole='the document')}") from error


class Configuration:
    """The config in force. Who serves a request takes ``current`` once, and so sees one generation whole."""

    def __init__(self) -> None:
        self.current: RuntimeConfig | None = None
        self.origin: Origin | None = None
        self.arrived = asyncio.Event()
        self._errors: dict[Origin, str] = {}
        self._change_listeners: list[Callable[[RuntimeConfig], None]] = []
        self._error_listeners: list[Callable[[str], None]] = []

    @property
    def error(self) -> str:
        """Why the newest document was refused; empty when none was."""
        return self._errors.get(Origin.WATCH) or self._errors.get(Origin.FILE, "")

    def on_change(self, listener: Callable[[RuntimeConfig], None]) -> None:
        """Call ``listener`` with each new config."""
        self._change_listeners.append(listener)

    def on_error(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with each new ``error``, the empty one that ends it among them."""
        self._error_listeners.append(listener)

    def offer(self, document: bytes, *, origin: Origin) -> None:
        """Take in a document; a bad one is refused with its reason kept in ``error``."""
        error = self.error
        try:
            offered = parse(document)
        except ConfigError as refusal:
            self._refuse(str(refusal), origin=origin)
        else:
            self._errors.pop(origin, None)
            if self._supersedes(offered, origin=origin):
                self._swap(offered, origin=origin)
            elif offered == self.current and origin is Origin.WATCH:
                self.origin = origin
        if self.error != error:
            metrics.CONFIG_REFUSED.set(bool(self.error))
            for listener in self._error_listeners:
                listener(self.error)

    def _refuse(self, reason: str, *, origin: Origin) -> None:
        if self._errors.get(origin) != reason:
            metrics.CONFIG_REJECTED.inc()
            _log.error("runtime config refused, the last good one stays", extra={"source": origin, "reason": reason})
        self._errors[origin] = reason

    def _supersedes(self, offered: RuntimeConfig, *, origin: Origin) -> bool:
        known = self.current
        if known is None:
            return True
        # The file lags behind the watch, also within one generation: agents come and go without a new one.
        late = origin is Origin.FILE and self.origin is Origin.WATCH
        if known.uid != offered.uid:
            # A policy that was deleted and made again starts anew at generation 1.
            return not late
        if known.generation != offered.generation:
            return known.generation < offered.generation
        return not late and known != offered

    def _swap(self, config: RuntimeConfig, *, origin: Origin) -> None:
        self.current, self.origin = config, origin
        self.arrived.set()
        metrics.GENERATION.set(config.generation)
        _log.info("runtime config in force", extra={"generation": config.generation, "source": origin})
        for listener in self._change_listeners:
            listener(config)
