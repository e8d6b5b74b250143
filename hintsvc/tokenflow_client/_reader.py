"""Reads one hint at a time, where the stream of hints does not come through."""

import logging
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from tokenflow_api.hints import HintReply
from tokenflow_client._connection import Connections
from tokenflow_client._errors import HintsUnavailableError

_log = logging.getLogger(__name__)

READ_S: Final = 2.0
"""Longest wait for the connection, and for each part of the answer."""
_UNCHANGED: Final = 304


class HintReader:
    """Reads the hint of a tenant, and keeps it while the service says that it is the newest.

    Args:
        url: base URL of the hint service.
        tenant: whose hint.
        path: that the hint is for.
        connections: to the hint service.
    """

    def __init__(self, url: str, *, tenant: str, path: str, connections: Connections) -> None:
        self._url = f"{url.rstrip('/')}/v1/hints/{quote(tenant, safe='')}"
        self._path = path
        self._connections = connections
        self._etag = ""
        self._reply: HintReply | None = None

    async def read(self) -> HintReply:
        """Return the hint that holds now.

        Raises:
            HintsUnavailableError: the service is out of reach, or refused.
        """
        client = await self._connections.client()
        headers = self._connections.headers() | ({"If-None-Match": self._etag} if self._etag else {})
        try:
            response = await client.get(self._url, params={"path": self._path}, headers=headers, timeout=READ_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HintsUnavailableError(f"{self._url}: {type(error).__name__}: {error}") from error
        if response.status_code == _UNCHANGED and self._reply is not None:
            return self._reply
        if not response.is_success:
            raise HintsUnavailableError(f"{self._url} answered {response.status_code}: {response.text[:300]}")
        try:
            self._reply = HintReply.model_validate_json(response.content)
        except ValidationError as error:
            raise HintsUnavailableError(f"{self._url} answered what is no hint: {error}") from error
        self._etag = response.headers.get("ETag", "")
        return self._reply
