"""Reads one hint at a time, where the stream of hints does not come through."""

import asyncio
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from tokenflow_api.hints import HintReply
from tokenflow_client._bounded import beginning, whole
from tokenflow_client._connection import Connections
from tokenflow_client._errors import HintsUnavailableError

READ_S: Final = 2.0
"""Longest wait for an answer, from its connection to its end."""
MOST_BYTES: Final = 64 << 10
"""Bytes of an answer."""
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
            async with (
                asyncio.timeout(READ_S),
                client.stream("GET", self._url, params={"path": self._path}, headers=headers) as response,
            ):
                if not response.is_success and response.status_code != _UNCHANGED:
                    words = (await beginning(response, most=300)).decode(errors="replace")
                    raise HintsUnavailableError(f"{self._url} answered {response.status_code}: {words}")
                # Read to its end, a connection serves again.
                body = await whole(response, most=MOST_BYTES)
        except TimeoutError as error:
            raise HintsUnavailableError(f"{self._url} did not answer within {READ_S:.0f} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HintsUnavailableError(f"{self._url}: {type(error).__name__}: {error}") from error
        if response.status_code == _UNCHANGED and self._reply is not None:
            return self._reply
        try:
            self._reply = HintReply.model_validate_json(body)
        except ValidationError as error:
            raise HintsUnavailableError(f"{self._url} answered what is no hint: {error}") from error
        self._etag = response.headers.get("ETag", "")
        return self._reply
