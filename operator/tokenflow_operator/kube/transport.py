"""How requests reach the Kubernetes API. Every error of the library underneath is mapped here."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient

from tokenflow_operator import metrics
from tokenflow_operator.errors import (
    ConflictError,
    FieldClaim,
    FieldConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnavailableError,
)
from tokenflow_operator.kube.objects import Manifest

JSON: Final = "application/json"
METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""A listing without what the objects hold besides their metadata."""
APPLY: Final = "application/apply-patch+yaml"

_BY_STATUS: Final[dict[int, type[KubeError]]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
}
_BAD_REQUEST: Final = 400
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_NO_ANSWER: Final = "none"
_MAX_RETRY_AFTER_S: Final = 60.0
_FIELD_CONFLICT: Final = "FieldManagerConflict"
# A manager that applies is named alone; of one that edits, the API adds what it edited with.
_CLAIM: Final = re.compile(r'conflict with "(?P<manager>.*?)"(?P<edited>.*)', re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request, and how it is counted.

    Attributes:
        verb: Kubernetes' word for it.
        kind: of the objects that it is about.
    """

    method: str
    path: str
    verb: str
    kind: str
    query: dict[str, str] = field(default_factory=dict)
    body: Manifest | None = None
    content_type: str = JSON
    accept: str = JSON


class Transport:
    """Sends requests with the client's credentials, and counts them."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def send(self, request: Request, *, within_s: float) -> Manifest:
        """Return the document that the API answers within ``within_s`` seconds.

        Raises:
            KubeError: it did not answer, or with an error.
        """
        code = _NO_ANSWER
        try:
            async with asyncio.timeout(within_s):
                response = await self._open(request, aiohttp.ClientTimeout(total=within_s))
                code = str(response.status)
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(request, error) from error
        finally:
            metrics.REQUESTS.labels(verb=request.verb, kind=request.kind, code=code).inc()
        document = _document(data)
        if response.status >= _BAD_REQUEST:
            raise _error(request, response, document)
        return document

    async def stream(self, request: Request, *, idle_s: float, within_s: float) -> AsyncGenerator[Manifest, None]:
        """Yield the documents of an answer that comes line by line.

        Args:
            request: to send.
            idle_s: seconds of silence after which it counts as broken.
            within_s: seconds in which it has to end.

        Raises:
            KubeError: there is no answer, or none any more, or an error.
        """
        code = _NO_ANSWER
        try:
            limits = aiohttp.ClientTimeout(total=within_s, sock_connect=idle_s, sock_read=idle_s)
            response = await self._open(request, limits)
            code = str(response.status)
            try:
                if response.status >= _BAD_REQUEST:
                    raise _error(request, response, _document(await response.read()))
                async for line in response.content:
                    yield _document(line)
            finally:
                response.close()
        # A line beyond the buffer's size is a ValueError.
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _unreachable(request, error) from error
        finally:
            metrics.REQUESTS.labels(verb=request.verb, kind=request.kind, code=code).inc()

    async def _open(self, request: Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        prepared = await self._client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params={"Accept": request.accept, "Content-Type": request.content_type},
            body=request.body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*prepared, _request_timeout=limits)
        response: aiohttp.ClientResponse = answer.response
        return response


def status_error(request: Request, document: Manifest) -> KubeError:
    """Return the error that a Status document within a stream tells of."""
    code = document.get("code", _SERVER_ERROR)
    return _BY_STATUS.get(code, UnavailableError)(_words(request, document.get("message") or str(code)))


def _unreachable(request: Request, error: Exception) -> UnavailableError:
    return UnavailableError(_words(request, str(error) or type(error).__name__))


def _error(request: Request, response: aiohttp.ClientResponse, document: Manifest) -> KubeError:
    message = _words(request, document.get("message") or response.reason or str(response.status))
    if response.status == _TOO_MANY_REQUESTS or response.status >= _SERVER_ERROR:
        return UnavailableError(message, retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")))
    claims = tuple(_claims(document))
    if claims:
        return FieldConflictError(message, claims=claims)
    return _BY_STATUS.get(response.status, KubeError)(message)


def _words(request: Request, message: str) -> str:
    return f"{request.method} {request.path}: {message}"


def _retry_after_s(header: str) -> float:
    """Return the seconds that the API asks for; it writes no dates."""
    return min(float(header), _MAX_RETRY_AFTER_S) if header.isdecimal() else 0.0


def _claims(document: Manifest) -> list[FieldClaim]:
    causes: list[Manifest] = document.get("details", {}).get("causes", [])
    found = [(_CLAIM.match(c.get("message", "")), c) for c in causes if c.get("reason") == _FIELD_CONFLICT]
    return [
        FieldClaim(field=cause.get("field", ""), manager=match["manager"], declared=not match["edited"])
        for match, cause in found
        if match
    ]


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        document = {"message": data[:512].decode(errors="replace")}
    return document if isinstance(document, dict) else {}
