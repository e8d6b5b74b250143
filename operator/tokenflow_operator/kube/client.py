"""Requests to the Kubernetes API. Every error of the library underneath is mapped here."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient

from tokenflow_operator import metrics
from tokenflow_operator.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnavailableError,
)
from tokenflow_operator.kube.kinds import Kind
from tokenflow_operator.kube.objects import Manifest

FIELD_MANAGER: Final = "tokenflow-operator"
_PAGE: Final = 500
_REQUEST_TIMEOUT_S: Final = 15.0
_APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"

_BY_STATUS: Final[dict[int, type[KubeError]]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: UnavailableError,
}
_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500


class Kube:
    """The Kubernetes API, as far as the operator needs it."""

    def __init__(self, client: ApiClient, *, gate: Callable[[], float] = lambda: _REQUEST_TIMEOUT_S) -> None:
        """Use the API.

        Args:
            client: is logged in.
            gate: called right before every write; returns the most seconds that it may take, or raises NotLeadingError.
        """
        self._client = client
        self._gate = gate

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest:
        """Return one object.

        Raises:
            KubeError: NotFoundError, ForbiddenError or UnavailableError.
        """
        return await self._request("GET", kind.path(namespace=namespace, name=name))

    async def list(self, kind: Kind, *, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects of a namespace (all for an empty name) that carry the labels, read in pages.

        Raises:
            KubeError: among others NotFoundError where the kind does not exist.
        """
        items: list[Manifest] = []
        query = {"limit": str(_PAGE), **({"labelSelector": labels} if labels else {})}
        while True:
            page = await self._request("GET", kind.path(namespace=namespace), query=query)
            # The items of a list do not repeat what the list says of them all.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"]]
            following = page["metadata"].get("continue")
            if not following:
                return items
            query["continue"] = following

    async def resources(self, api_version: str) -> frozenset[str]:
        """Return the plurals of what the API serves of a group and version; nothing where it knows no such group.

        Raises:
            KubeError: among others UnavailableError.
        """
        try:
            document = await self._request("GET", f"/apis/{api_version}")
        except NotFoundError:
            return frozenset()
        return frozenset(resource["name"] for resource in document["resources"])

    async def apply(self, kind: Kind, manifest: Manifest, *, subresource: str = "") -> Manifest:
        """Make the object's fields what the manifest says (server-side apply), whoever set them before.

        Raises:
            KubeError: InvalidError, ForbiddenError, NotFoundError (of a subresource) or UnavailableError.
        """
        meta = manifest["metadata"]
        path = kind.path(namespace=meta["namespace"], name=meta["name"], subresource=subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        applied = await self._request("PATCH", path, query=query, body=manifest, content_type=_APPLY)
        metrics.WRITES.labels(verb="apply", kind=kind.kind, subresource=subresource).inc()
        return applied

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create an object.

        Raises:
            KubeError: among others ConflictError where it exists already.
        """
        path = kind.path(namespace=manifest["metadata"]["namespace"])
        created = await self._request("POST", path, query={"fieldManager": FIELD_MANAGER}, body=manifest)
        metrics.WRITES.labels(verb="create", kind=kind.kind, subresource="").inc()
        return created

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Write an object whole, if it still is of the version that the manifest was made from.

        Raises:
            KubeError: among others ConflictError where it was changed since, and NotFoundError.
        """
        meta = manifest["metadata"]
        path = kind.path(namespace=meta.get("namespace", ""), name=meta["name"])
        replaced = await self._request("PUT", path, query={"fieldManager": FIELD_MANAGER}, body=manifest)
        metrics.WRITES.labels(verb="replace", kind=kind.kind, subresource="").inc()
        return replaced

    async def delete(self, kind: Kind, *, namespace: str, name: str, uid: str) -> None:
        """Delete the object of that name if it still is the one with that UID; its own children follow.

        Raises:
            KubeError: NotFoundError, ConflictError (another object has the name), ForbiddenError or UnavailableError.
        """
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._request("DELETE", kind.path(namespace=namespace, name=name), body=body)
        metrics.WRITES.labels(verb="delete", kind=kind.kind, subresource="").inc()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
    ) -> Manifest:
        headers = {"Accept": _JSON, "Content-Type": content_type}
        within_s = _REQUEST_TIMEOUT_S if method == "GET" else min(_REQUEST_TIMEOUT_S, self._gate())
        try:
            async with asyncio.timeout(within_s):
                request = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._client.call_api(*request)
                data: bytes = await response.read()  # type: ignore[no-untyped-call] # typed only in name
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"{method} {path}: {str(error) or type(error).__name__}") from error
        document = _document(data)
        if response.status >= _BAD_REQUEST:
            raise _error(response.status, f"{method} {path}: {document.get('message') or response.reason}")
        return document


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        document = {"message": data[:512].decode(errors="replace")}
    return document if isinstance(document, dict) else {}


def _error(status: int, message: str) -> KubeError:
    default = UnavailableError if status >= _SERVER_ERROR else KubeError
    return _BY_STATUS.get(status, default)(message)
