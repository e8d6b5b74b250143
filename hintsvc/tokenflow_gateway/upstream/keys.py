"""The gateway's own API keys at its upstreams, from mounted Secrets."""

import logging
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tokenflow_api.mounted import mark
from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import UpstreamError

_log = logging.getLogger(__name__)

KEY_FILE: Final = "apiKey"
LOOK_S: Final = 1.0
"""The disk is looked at no more often than that."""
_MOST: Final = 4096
_KEY: Final = re.compile(r"[!-~]+")


class UpstreamKeys:
    """The keys, held in memory and read anew when their Secrets change.

    Args:
        directory: holds a directory per upstream, with its Secret mounted in it.
        clock: monotonic, in seconds.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._looked: dict[str, float] = {}
        self._marks: dict[str, object] = {}
        self._keys: dict[str, str] = {}

    def key(self, upstream: Upstream) -> str:
        """Return the key to show; empty where the policy names none.

        Raises:
            UpstreamError: the policy names one, and it is not there.
        """
        if upstream.api_key_secret_ref is None:
            return ""
        name, now = upstream.name, self._clock()
        if now - self._looked.get(name, -math.inf) >= LOOK_S:
            self._looked[name] = now
            self._look(name)
        key = self._keys.get(name)
        if not key:
            raise UpstreamError(
                f"the gateway has no API key for upstream {name!r}: put it as value {KEY_FILE} into Secret"
                f" {upstream.api_key_secret_ref.name!r}; a mount may lag by a minute"
            )
        return key

    def _look(self, name: str) -> None:
        directory = self._directory / name
        present = mark(directory)
        if name in self._marks and present == self._marks[name]:
            return
        self._marks[name] = present
        try:
            with (directory / KEY_FILE).open(encoding="ascii") as file:
                key = file.read(_MOST + 1).strip()
        except (OSError, UnicodeDecodeError) as error:
            _log.error("no API key of an upstream", extra={"upstream": name, "reason": type(error).__name__})
            key = ""
        if key and (len(key) > _MOST or not _KEY.fullmatch(key)):
            _log.error("API key refused: it must be visible ASCII characters", extra={"upstream": name})
            key = ""
        self._keys[name] = key
