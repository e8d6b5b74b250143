"""Requests to the Kubernetes API in plain manifests."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from kubernetes.aio.client import ApiClient

from tokenflow_operator import metrics
from tokenflow_operator.errors import NotFoundError, UnavailableError
from tokenflow_operator.kube.kinds import Kind
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.kube.transport import APPLY, METADATA, Request, Transport, status_error

FIELD_MANAGER: Final = "tokenflow-operator"
_PAGE: Final = 100
"""Objects that are read at a time: the memory that a listing takes while it is read."""
_REQUEST_TIMEOUT_S: Final = 15.0
_SILENCE_S: Final = 90.0
"""A watch says something each minute, if only a bookmark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A part of a listing.

    Attributes:
        uids: of its objects.
        items: the objects; none where all of them are known.
        version: of the whole listing.
    """

    uids: frozenset[str]
    items: list[Manifest]
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchEvent:
    """What a watch tells: ``ADDED``, ``MODIFIED``, ``DELETED``, or ``BOOKMARK`` for a version without an object."""

    type: str
    manifest: Manifest


class Kube:
    """The Kubernetes API, as far as the operator needs it."""

    def __init__(self, client: ApiClient, *, gate: Callable[[], float] = lambda: _REQUEST_TIMEOUT_S) -> None:
        """Use the API.

        Args:
            client: is logged in.
            gate: called right before every write; returns the most seconds that it may take, or raises NotLeadingError.
        """
        self._transport = Transport(client)
        self._gate = gate

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest:
        """Return one object.

        Raises:
            KubeError: NotFoundError, ForbiddenError or UnavailableError.
        """
        path = kind.path(namespace=namespace, name=name)
        return await self._read(Request(method="GET", path=path, verb="get", kind=kind.kind))

    async def pages(
        self, kind: Kind, *, namespace: str, labels: str = "", known: Callable[[Manifest], bool] | None = None
    ) -> AsyncGenerator[Page, None]:
        """Yield the objects of a namespace (all for an empty name) that carry the labels, a page at a time.

        Args:
            kind: of the objects.
            namespace: the only one to list; all of them for an empty name.
            labels: that the objects carry.
            known: tells by an object's metadata whether this version of it is known. Where that is to be expected,
                a page is read in full only if something on it is not.

        Raises:
            KubeError: among others NotFoundError where the kind does not exist, and GoneError where reading on
                took too long.
        """
        path = kind.path(namespace=namespace)
        query = {"limit": str(_PAGE), **({"labelSelector": labels} if labels else {})}
        while True:
            request = Request(method="GET", path=path, verb="list", kind=kind.kind, query=query)
            page = await self._read(request if known is None else replace(request, accept=METADATA))
            # A list of metadata says null where it is empty.
            all_known = known is not None and all(map(known, page["items"] or ()))
            if known is not None and not all_known:
                page = await self._read(request)
            # The items of a list do not repeat what the list says of them all.
            items = [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"] or ()]
            yield Page(
                uids=frozenset(item["metadata"]["uid"] for item in items),
                items=[] if all_known else items,
                version=page["metadata"].get("resourceVersion", ""),
            )
            following = page["metadata"].get("continue")
            if not following:
                return
            query = {**query, "continue": following}

    async def watch(
        self, kind: Kind, *, namespace: str, labels: str = "", version: str, timeout_s: int
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield what happens to the objects that ``pages`` would show, for ``timeout_s`` seconds.

        Args:
            kind: to watch.
            namespace: the only one to watch; all of them for an empty name.
            labels: that objects carry.
            version: after which it happens, of a listing or of the last event.
            timeout_s: seconds after which the API ends the watch.

        Raises:
            KubeError: among others GoneError where the version is too old.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(timeout_s),
            **({"labelSelector": labels} if labels else {}),
        }
        request = Request(method="GET", path=kind.path(namespace=namespace), verb="watch", kind=kind.kind, query=query)
        within_s = timeout_s + _REQUEST_TIMEOUT_S
        async with aclosing(self._transport.stream(request, idle_s=_SILENCE_S, within_s=within_s)) as events:
            async for event in events:
                if not {"type", "object"} <= event.keys():
                    raise UnavailableError(f"{request.method} {request.path}: a watch broke off within an event")
                if event["type"] == "ERROR":
                    raise status_error(request, event["object"])
                yield WatchEvent(type=event["type"], manifest=event["object"])

    async def resources(self, api_version: str) -> frozenset[str]:
        """Return the plurals of what the API serves of a group and version; nothing where it knows no such group.

        Raises:
            KubeError: among others UnavailableError.
        """
        try:
            document = await self._read(
                Request(method="GET", path=f"/apis/{api_version}", verb="get", kind="APIResourceList")
            )
        except NotFoundError:
            return frozenset()
        return frozenset(resource["name"] for resource in document["resources"])

    async def apply(self, kind: Kind, manifest: Manifest, *, subresource: str = "", force: bool = False) -> Manifest:
        """Make the object's fields what the manifest says (server-side apply).

        Args:
            kind: of the object.
            manifest: the fields.
            subresource: the part to apply them to; empty is the object itself.
            force: take fields from whoever set them otherwise.

        Raises:
            KubeError: FieldConflictError without ``force``, InvalidError, ForbiddenError, NotFoundError (of a
                subresource) or UnavailableError.
        """
        meta = manifest["metadata"]
        path = kind.path(namespace=meta.get("namespace", ""), name=meta["name"], subresource=subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        request = Request(
            method="PATCH", path=path, verb="apply", kind=kind.kind, query=query, body=manifest, content_type=APPLY
        )
        return await self._write(request, subresource=subresource)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object.

        Raises:
            KubeError: among others ConflictError where it exists already.
        """
        path = kind.path(namespace=manifest["metadata"]["namespace"])
        query = {"fieldManager": FIELD_MANAGER}
        return await self._write(
            Request(method="POST", path=path, verb="create", kind=kind.kind, query=query, body=manifest)
        )

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Write an object whole, if it still is of the version that the manifest was made from.

        Raises:
            KubeError: among others ConflictError where it was changed since, and NotFoundError.
        """
        meta = manifest["metadata"]
        path = kind.path(namespace=meta.get("namespace", ""), name=meta["name"])
        query = {"fieldManager": FIELD_MANAGER}
        return await self._write(
            Request(method="PUT", path=path, verb="replace", kind=kind.kind, query=query, body=manifest)
        )

    async def delete(self, kind: Kind, *, namespace: str, name: str, uid: str) -> Manifest | None:
        """Delete the object of that name if it still is the one with that UID; its own children follow.

        Return what stays of it until its finalizers are done; nothing if it is gone.

        Raises:
            KubeError: NotFoundError, ConflictError (another object has the name), ForbiddenError or UnavailableError.
        """
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        path = kind.path(namespace=namespace, name=name)
        answer = await self._write(Request(method="DELETE", path=path, verb="delete", kind=kind.kind, body=body))
        return answer if answer.get("kind") == kind.kind else None

    async def _read(self, request: Request) -> Manifest:
        return await self._transport.send(request, within_s=_REQUEST_TIMEOUT_S)

    async def _write(self, request: Request, *, subresource: str = "") -> Manifest:
        answer = await self._transport.send(request, within_s=min(_REQUEST_TIMEOUT_S, self._gate()))
        metrics.WRITES.labels(verb=request.verb, kind=request.kind, subresource=subresource).inc()
        return answer
