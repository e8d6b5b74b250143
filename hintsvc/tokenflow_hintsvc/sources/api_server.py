"""The API server of the cluster, as far as a replica needs it: it watches single objects by their names.

One request to one object: a Kubernetes client library would cost every replica 15 MB, and cannot read an event above
128 KiB.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from tokenflow_hintsvc.errors import SourceError, SourceForbiddenError

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_WATCH_S: Final = 60
"""A connection that died silently is noticed after as long."""
_CONNECT_S: Final = 5.0
_MAX_EVENT_BYTES: Final = 4 << 20
"""An object of 1 MiB, escaped, with what the API server adds."""
_WORDS: Final = 300
_FORBIDDEN: Final = (401, 403)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiServer:
    """Where the API server is, and how to be believed by it.

    Attributes:
        url: base address.
        token_file: the service account's token, read anew for each request because the kubelet renews it.
        authorities: certificates to trust; ``None`` where ``url`` is not https.
    """

    url: str
    token_file: Path
    authorities: Path | None

    @classmethod
    def of_this_pod(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the API server of the cluster that this pod runs in."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        return cls(
            url=f"https://{f'[{host}]' if ':' in host else host or 'kubernetes.default.svc'}:{port}",
            token_file=_SERVICE_ACCOUNT / "token",
            authorities=_SERVICE_ACCOUNT / "ca.crt",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """The object as it is, or that there is none any more."""

    object: Mapping[str, Any] | None


class ObjectWatch:
    """Watches one object by its name, so that RBAC can be on that name alone.

    Args:
        server: to ask.
        plural: of its kind, in the core group.
        namespace: where it is.
        name: of it.
    """

    def __init__(self, *, server: ApiServer, plural: str, namespace: str, name: str) -> None:
        self._server = server
        self._url = f"{server.url}/api/v1/namespaces/{namespace}/{plural}"
        self._query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(_WATCH_S)}
        self._said = f"watching {plural} {namespace}/{name}"

    async def events(self) -> AsyncIterator[Event]:
        """Yield the object as it is and each change of it, for about a minute.

        Raises:
            SourceForbiddenError: the API server does not let this replica.
            SourceError: it is out of reach, or broke off.
        """
        try:
            async with self._watch() as answer:
                if not answer.ok:
                    words = (await answer.content.read(_WORDS)).decode(errors="replace")
                    error = SourceForbiddenError if answer.status in _FORBIDDEN else SourceError
                    raise error(f"{self._said}: {answer.status} {words}")
                async for line in _lines(answer.content):
                    event = self._event(json.loads(line))
                    if event is not None:
                        yield event
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, KeyError) as error:
            raise SourceError(f"{self._said}: {type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def _watch(self) -> AsyncIterator[aiohttp.ClientResponse]:
        token = await asyncio.to_thread(self._server.token_file.read_text)
        trust = self._server.authorities
        context = await asyncio.to_thread(ssl.create_default_context, cafile=str(trust)) if trust else True
        timeout = aiohttp.ClientTimeout(total=_WATCH_S + 10, connect=_CONNECT_S)
        headers = {"Authorization": f"Bearer {token.strip()}"}
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(self._url, params=self._query, ssl=context, allow_redirects=False) as answer,
        ):
            yield answer

    def _event(self, event: Mapping[str, Any]) -> Event | None:
        match event["type"]:
            case "ERROR":
                raise SourceError(f"{self._said}: {event['object'].get('message', 'the watch was broken off')}")
            case "ADDED" | "MODIFIED":
                return Event(object=event["object"])
            case "DELETED":
                return Event(object=None)
            case _:
                return None


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in content.iter_any():
        *whole, last = chunk.split(b"\n")
        for end in whole:
            yield bytes(rest + end)
            rest.clear()
        rest += last
        if len(rest) > _MAX_EVENT_BYTES:
            raise SourceError(f"an event of the API server is above {_MAX_EVENT_BYTES} bytes")
