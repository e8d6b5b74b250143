"""The tenants' Secrets, watched through the API server where a Role of their owner lets this replica.

The kubelet refreshes a mounted Secret only within about a minute; what is watched counts at once. Where the API server
refuses, the mount stays the source, and nothing is lost but time.
"""

import asyncio
import base64
import binascii
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from tokenflow_api.api_keys import MAX_LINE, KeyRing
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import SourceForbiddenError
from tokenflow_hintsvc.sources.api_server import ApiServer, Event, ObjectWatch
from tokenflow_hintsvc.sources.renewed import renewed

_log = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 30.0
"""A Role may be granted at any time."""


class SecretsWatch:
    """Keeps a key ring up to date with the Secrets that the config's tenants refer to.

    Args:
        server: to ask.
        namespace: of the policy and its Secrets.
        ring: takes the values.
        changed: called after it took some.
        ask_again_s: seconds until a refusal is put to the test again.
    """

    def __init__(
        self,
        *,
        server: ApiServer,
        namespace: str,
        ring: KeyRing,
        changed: Callable[[], None],
        ask_again_s: float = ASK_AGAIN_S,
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._ring = ring
        self._changed = changed
        self._ask_again_s = ask_again_s
        self._tenants: dict[str, frozenset[str]] = {}
        self._watched: set[str] = set()
        self._told: set[str] = set()
        self._wake = asyncio.Event()

    def configure(self, config: RuntimeConfig) -> None:
        """Watch the Secrets that another config refers to from now on."""
        tenants: defaultdict[str, set[str]] = defaultdict(set)
        for tenant in config.spec.tenants:
            if tenant.api_keys_secret_ref is not None:
                tenants[tenant.api_keys_secret_ref.name].add(tenant.name)
        self._tenants = {secret: frozenset(names) for secret, names in tenants.items()}
        self._wake.set()

    async def run(self) -> None:
        """Watch, for ever: each Secret in a task of its own, which ends when no tenant refers to it any more."""
        watches: dict[tuple[str, frozenset[str]], asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wanted = set(self._tenants.items())
                for ended in watches.keys() - wanted:
                    watches.pop(ended).cancel()
                for secret, tenants in wanted - watches.keys():
                    watches[secret, tenants] = group.create_task(self._follow(secret, tenants))
                await self._wake.wait()

    async def _follow(self, secret: str, tenants: frozenset[str]) -> None:
        watch = ObjectWatch(server=self._server, plural="secrets", namespace=self._namespace, name=secret)

        async def allowed() -> AsyncIterator[Event]:
            try:
                async for event in watch.events():
                    yield event
            except SourceForbiddenError as error:
                self._refused(secret, tenants, error)
                await asyncio.sleep(self._ask_again_s)

        try:
            async for event in renewed(allowed, said=f"Secret {secret}"):
                self._watched.add(secret)
                self._keep(tenants, _lines(event.object or {}, secret_name=secret))
        finally:
            self._watched.discard(secret)
            self._keep(tenants, None)

    def _refused(self, secret: str, tenants: frozenset[str], error: SourceForbiddenError) -> None:
        if secret in self._watched or secret not in self._told:
            self._told.add(secret)
            _log.info("a Secret is read from its mount alone", extra={"secret": secret, "reason": str(error)})
        self._watched.discard(secret)
        self._keep(tenants, None)

    def _keep(self, tenants: frozenset[str], lines: Mapping[str, str] | None) -> None:
        metrics.SECRETS_WATCHED.set(len(self._watched))
        for tenant in tenants:
            self._ring.keep(tenant, lines)
        self._changed()


def _lines(secret: Mapping[str, Any], *, secret_name: str) -> Mapping[str, str]:
    """Return the lines of a Secret by their names; none where it is gone: its keys count no more."""
    lines = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            lines[name] = base64.b64decode(value, validate=True)[: MAX_LINE + 1].decode(errors="replace")
        except (binascii.Error, TypeError, ValueError) as error:
            _log.error(
                "a value of a Secret cannot be read", extra={"secret": secret_name, "key": name, "reason": str(error)}
            )
    return lines
