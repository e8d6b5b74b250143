"""Asks a policy's hint service for the state of its cluster."""

import asyncio
import functools
import math
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import ValidationError

from tokenflow_api.client_tls import client_context
from tokenflow_api.cluster import ClusterView
from tokenflow_operator.errors import (
    HintServiceFailingError,
    HintServiceRefusedError,
    HintServiceUnreachableError,
    HintServiceUntrustedError,
)
from tokenflow_operator.problem_documents import words

_TIMEOUT_S: Final = 2.0
_TOKEN_KEPT_S: Final = 10.0
"""The kubelet renews a token long before it ends."""
_MAX_BYTES: Final = 16 << 20
_REFUSED: Final = (401, 403)
_NOT_MODIFIED: Final = 304
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The state of a hint service, and the tag that stays as long as it means the same."""

    view: ClusterView
    tag: str


class HintService:
    """The hint services of all policies."""

    def __init__(
        self, *, session: aiohttp.ClientSession, token_file: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Use a session.

        Args:
            session: owned by the caller.
            token_file: the projected token, read anew every ten seconds because the kubelet renews it.
            clock: monotonic seconds.
        """
        self._session = session
        self._token_file = token_file
        self._clock = clock
        self._token = ""
        self._read_at = -math.inf

    async def view(self, address: str, *, authorities: str = "", tag: str = "", last: bool = False) -> Answer | None:
        """Return the state of a hint service; nothing if it means the same as the one with the given tag.

        Args:
            address: its base URL.
            authorities: certificates in PEM to know it by at https; empty is those of the system.
            tag: of the state that is known; empty to be told in any case.
            last: whether the connection is to be closed behind the answer.

        Raises:
            HintServiceUntrustedError: its certificate is not to be believed.
            HintServiceRefusedError: it does not accept the token.
            HintServiceFailingError: it answered that it cannot tell.
            HintServiceUnreachableError: it did not answer in time, or not with such a document.
        """
        url = f"{address}/v1/cluster"
        try:
            headers = {"Authorization": f"Bearer {self._fresh_token()}"}
            if tag:
                headers["If-None-Match"] = tag
            if last:
                headers["Connection"] = "close"
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._session.get(url, headers=headers, ssl=_context(authorities)) as response,
            ):
                body = await _bounded(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise HintServiceUntrustedError(_distrust(error.certificate_error)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise HintServiceUnreachableError(_cause(error)) from error
        if tag and response.status == _NOT_MODIFIED:
            return None
        if response.status in _REFUSED:
            raise HintServiceRefusedError(f"{response.status} {words(body)}")
        if response.status >= _SERVER_ERROR:
            raise HintServiceFailingError(f"{response.status} {words(body)}")
        if not response.ok:
            raise HintServiceUnreachableError(f"{response.status} {words(body)}")
        try:
            return Answer(view=ClusterView.model_validate_json(body), tag=response.headers.get("ETag", ""))
        except ValidationError as error:
            raise HintServiceUnreachableError(f"not a cluster view: {error.error_count()} errors") from error

    def _fresh_token(self) -> str:
        if self._clock() - self._read_at >= _TOKEN_KEPT_S:
            self._token, self._read_at = self._token_file.read_text().strip(), self._clock()
        return self._token


@functools.lru_cache(maxsize=256)
def _context(authorities: str) -> ssl.SSLContext:
    return client_context(authorities)


def _cause(error: Exception) -> str:
    # In its own words a failure to connect names an object of this process.
    told = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(told) or type(error).__name__


def _distrust(error: Exception) -> str:
    words = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return words.rstrip(".")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise HintServiceUnreachableError(f"its answer is above {_MAX_BYTES} bytes")
    return bytes(body)
