"""Requests to an API server, as the one who asks for things and looks on."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from e2e.bench.errors import BenchError
from e2e.kubeconfig import access
from tokenflow_operator.kube.kinds import Kind

Manifest = dict[str, Any]

_AT_ONCE: Final = 16
"""Requests under way at a time: more would make the API server's queues what is measured."""
_PAGE: Final = 500
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)
_WATCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
_LINE_BYTES: Final = 4 << 20
_NOT_FOUND: Final = 404


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What a watch tells."""

    type: str
    object: Manifest


class Api:
    """An API server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def list(self, kind: Kind, *, namespace: str = "", labels: str = "") -> tuple[list[Manifest], str]:
        """Return the objects of a namespace, of all for an empty name, and the version that a watch goes on from."""
        query = {"limit": str(_PAGE), "labelSelector": labels}
        items: list[Manifest] = []
        while True:
            page = await self._request("GET", kind.path(namespace=namespace), query=query)
            items += ({"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"])
            if not (following := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = following

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest | None:
        """Return an object; nothing if there is none."""
        return await self._request("GET", kind.path(namespace=namespace, name=name), absent=True) or None

    async def create_all(self, kind: Kind, manifests: Iterable[Manifest]) -> None:
        """Create objects, several at a time."""
        async with asyncio.TaskGroup() as group:
            for manifest in manifests:
                path = kind.path(namespace=manifest["metadata"].get("namespace", ""))
                group.create_task(self._request("POST", path, body=manifest))

    async def patch(
        self, kind: Kind, *, namespace: str, name: str, change: Mapping[str, Any], by: str = "e2e"
    ) -> Manifest:
        """Merge a change into an object in the name of a field manager, and return what it became."""
        path = kind.path(namespace=namespace, name=name)
        return await self._request("PATCH", path, query={"fieldManager": by}, body=change)

    async def delete(self, kind: Kind, *, namespace: str, name: str) -> None:
        """Delete an object, if there is one."""
        await self._request("DELETE", kind.path(namespace=namespace, name=name), absent=True)

    async def watch(self, kind: Kind, *, since: str, namespace: str = "", labels: str = "") -> AsyncIterator[Event]:
        """Yield what happens from a version on, until the API server ends the watch."""
        query = {"watch": "1", "resourceVersion": since, "labelSelector": labels}
        async with self._session.get(kind.path(namespace=namespace), params=query, timeout=_WATCH_TIMEOUT) as response:
            response.raise_for_status()
            async for line in response.content:
                event = json.loads(line)
                yield Event(type=event["type"], object=event["object"])

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        absent: bool = False,
    ) -> Manifest:
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        data = json.dumps(body) if body is not None else None
        async with self._turns, self._session.request(method, path, params=query, data=data, headers=headers) as answer:
            document: Manifest = await answer.json()
        if answer.status == _NOT_FOUND and absent:
            return {}
        if not answer.ok:
            raise BenchError(f"{method} {path}: {answer.status} {document.get('message')}")
        return document


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Api]:
    """Reach the API server of a kubeconfig until the block is left."""
    known = access(kubeconfig)
    async with aiohttp.ClientSession(
        known.server,
        connector=aiohttp.TCPConnector(ssl=known.context, limit=0),
        timeout=_TIMEOUT,
        read_bufsize=_LINE_BYTES,
    ) as session:
        yield Api(session)
