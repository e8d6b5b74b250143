"""Follows the hints of a policy, and knows what they are worth as they age."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Never

import httpx
from pydantic import ValidationError

from tokenflow_api.backoff import Backoff
from tokenflow_api.drift import drifted
from tokenflow_api.hints import ALL_PATHS, Hint, Snapshot
from tokenflow_client._boundaries import is_event_stream
from tokenflow_client._bounded import beginning
from tokenflow_client._breaker import CircuitBreaker
from tokenflow_client._connection import TIMEOUT, Connections, Trust
from tokenflow_client._errors import CircuitOpenError, HintsUnavailableError
from tokenflow_client._events import Event, events
from tokenflow_client._reader import HintReader

if TYPE_CHECKING:
    from tokenflow_api.runtime import RuntimeConfig

_log = logging.getLogger(__name__)


def _ignore(_: object) -> None:
    """Take what nobody asked for."""


class HintFollower:
    """Keeps the newest snapshot of a hint service.

    Args:
        url: base URL of the hint service, of its API or of its fast listener.
        token: called for the bearer token of each connection; empty sends none.
        on_config: called with each runtime config, which gateways are sent.
        on_snapshot: called with each snapshot.
        tls: how https is verified; by default as the system says.
        clock: monotonic, in seconds.
        client: HTTP client to use, which the caller closes; by default one of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str] = str,
        on_config: Callable[["RuntimeConfig"], None] | None = None,
        on_snapshot: Callable[[Snapshot], None] = _ignore,
        tls: Trust | None = None,
        clock: Callable[[], float] = time.monotonic,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._base = url
        self._url = f"{url.rstrip('/')}/v1/hints/stream"
        self._on_config = on_config
        self._on_snapshot = on_snapshot
        self._clock = clock
        self._connections = Connections(token=token, tls=tls, client=client)
        self._hints: dict[tuple[str, str], Hint] = {}
        self._received = 0.0
        self._last_id = ""
        self.breaker = CircuitBreaker(clock=clock)
        self.snapshot: Snapshot | None = None
        self.connected = False
        self.failure = ""

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

    def reader(self, tenant: str, *, path: str = ALL_PATHS) -> HintReader:
        """Return what reads one hint at a time over the same connections, where the stream does not come through."""
        return HintReader(self._base, tenant=tenant, path=path, connections=self._connections)

    async def run(self) -> None:
        """Follow for ever; connections that break are made anew, with growing pauses."""
        backoff = Backoff()
        try:
            while True:
                await self._attempt(backoff)
                pause = max(backoff.failed(), self.breaker.rest_s)
                extra = {"reason": self.failure, "retry_s": round(pause, 2)}
                # In words, too: a program that uses this package need not show what is extra.
                _log.warning("hints are out of reach: %s", self.failure, extra=extra)
                await asyncio.sleep(pause)
        finally:
            await self._connections.aclose()

    async def _attempt(self, backoff: Backoff) -> None:
        try:
            self.breaker.admit()
        except CircuitOpenError as error:
            _log.debug("too early to ask again", extra={"reason": str(error)})
            return
        try:
            await self._follow_once(backoff)
        except HintsUnavailableError as error:
            self.failure = str(error)
            self.breaker.failed()
        finally:
            self.connected = False

    async def _follow_once(self, backoff: Backoff) -> Never:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last_id} if self._last_id else {})
        headers |= self._connections.headers()
        client = await self._connections.client()
        try:
            async with client.stream("GET", self._url, headers=headers, timeout=TIMEOUT) as response:
                await self._check(response)
                self.connected = True
                self.breaker.succeeded()
                async for event in events(response.aiter_bytes(), source=self._url):
                    self._accept(event)
                    if event.name == "snapshot":
                        # A stream that brings nothing else, or breaks before, is no better than none.
                        backoff.succeeded()
                    if self.failure:
                        _log.info("hints are back")
                        self.failure = ""
                raise HintsUnavailableError(f"{self._url} ended the stream")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HintsUnavailableError(f"{self._url}: {type(error).__name__}: {error}") from error

    async def _check(self, response: httpx.Response) -> None:
        if response.is_error:
            words = (await beginning(response, most=300)).decode(errors="replace")
            raise HintsUnavailableError(f"{self._url} answered {response.status_code}: {words}")
        kind = response.headers.get("Content-Type", "")
        if not is_event_stream(response.status_code, kind):
            what = f"{response.status_code} {kind}".strip()
            raise HintsUnavailableError(f"{self._url} answered {what}, which is no stream of hints: check the URL")

    def _accept(self, event: Event) -> None:
        try:
            self._take(event)
        except ValidationError as error:
            # One document that this release cannot read must not take the others with it.
            _log.warning("an event was refused: %s", error, extra={"event": event.name, "reason": str(error)})

    def _take(self, event: Event) -> None:
        match event.name:
            case "snapshot":
                self.snapshot = Snapshot.model_validate_json(event.data)
                self._hints = {(hint.tenant, hint.path): hint for hint in self.snapshot.hints}
                self._received = self._clock()
                self._last_id = event.id
                self._on_snapshot(self.snapshot)
            case "config" if self._on_config:
                # Gateways alone are sent any; its import takes longer than all of this package.
                from tokenflow_api.runtime import RuntimeConfig  # noqa: PLC0415 - see above

                self._on_config(RuntimeConfig.model_validate_json(event.data))
            case _:
                _log.debug("an event without use here", extra={"event": event.name})
