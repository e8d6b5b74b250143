"""Follows the hints of a policy, and knows what they are worth as they age."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import Final

import httpx
from pydantic import ValidationError

from tokenflow_api.backoff import Backoff
from tokenflow_api.drift import drifted
from tokenflow_api.hints import ALL_PATHS, Hint, Snapshot
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_client._errors import HintsUnavailableError
from tokenflow_client._events import Event, events

_log = logging.getLogger(__name__)

CONNECT_S: Final = 2.0
SILENCE_S: Final = 15.0
"""The service sends a comment every 10 s: after a longer silence it is gone."""


class HintFollower:
    """Keeps the newest snapshot of a hint service.

    Args:
        url: base URL of the hint service.
        token: called for the bearer token of each connection; empty sends none.
        on_config: called with each runtime config, which gateways are sent.
        tls: how https is verified; by default as the system says.
        clock: monotonic, in seconds.
        client: HTTP client to use; by default one of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str] = str,
        on_config: Callable[[RuntimeConfig], None] | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/hints/stream"
        self._token = token
        self._on_config = on_config
        self._clock = clock
        self._client = client or httpx.AsyncClient(verify=tls or True, timeout=httpx.Timeout(CONNECT_S, read=SILENCE_S))
        self._hints: dict[tuple[str, str], Hint] = {}
        self._received = 0.0
        self.snapshot: Snapshot | None = None
        self.connected = False

    @property
    def age_s(self) -> float | None:
        """Seconds since the newest snapshot arrived."""
        return None if self.snapshot is None else self._clock() - self._received

    def hint(self, tenant: str, path: str, *, fallback: float) -> Hint | None:
        """Return the hint for a path, else for its tenant, as it has drifted; ``None`` when there never was one."""
        found = self._hints.get((tenant, path)) or self._hints.get((tenant, ALL_PATHS))
        if found is None or self.snapshot is None:
            return None
        age = self._clock() - self._received
        return drifted(found, age_s=age, ttl_s=self.snapshot.ttl_ms / 1000, fallback=fallback)

    async def run(self) -> None:
        """Follow for ever; connections that break are made anew, with growing pauses."""
        backoff = Backoff()
        async with self._client:
            while True:
                try:
                    await self._follow_once(backoff)
                except HintsUnavailableError as error:
                    pause = backoff.failed()
                    _log.warning("hints are out of reach", extra={"reason": str(error), "retry_s": round(pause, 2)})
                else:
                    pause = backoff.failed()
                self.connected = False
                await asyncio.sleep(pause)

    async def _follow_once(self, backoff: Backoff) -> None:
        token = self._token()
        headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            async with self._client.stream("GET", self._url, headers=headers) as response:
                if response.is_error:
                    words = (await response.aread())[:300].decode(errors="replace")
                    raise HintsUnavailableError(f"{self._url} answered {response.status_code}: {words}")
                self.connected = True
                async for event in events(response.aiter_lines()):
                    self._accept(event)
                    backoff.succeeded()
        except httpx.HTTPError as error:
            raise HintsUnavailableError(f"{self._url}: {type(error).__name__}: {error}") from error

    def _accept(self, event: Event) -> None:
        try:
            self._take(event)
        except ValidationError as error:
            # One document that this release cannot read must not take the others with it.
            _log.warning("an event was refused", extra={"event": event.name, "reason": str(error)})

    def _take(self, event: Event) -> None:
        match event.name:
            case "snapshot":
                self.snapshot = Snapshot.model_validate_json(event.data)
                self._hints = {(hint.tenant, hint.path): hint for hint in self.snapshot.hints}
                self._received = self._clock()
            case "config" if self._on_config:
                self._on_config(RuntimeConfig.model_validate_json(event.data))
            case _:
                _log.debug("an event without use here", extra={"event": event.name})
