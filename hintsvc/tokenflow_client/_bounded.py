"""Reads answers that nobody has vouched for: no more of them than is of use."""

import httpx

from tokenflow_client._errors import HintsUnavailableError


async def whole(response: httpx.Response, *, most: int) -> bytes:
    """Return the body of a response.

    Raises:
        HintsUnavailableError: it has more than ``most`` bytes.
    """
    body = await beginning(response, most=most + 1)
    if len(body) > most:
        raise HintsUnavailableError(f"{response.url} answered with more than {most >> 10} KiB: check the URL")
    return body


async def beginning(response: httpx.Response, *, most: int) -> bytes:
    """Return the first ``most`` bytes of a body, or all there are."""
    body = b""
    async for data in response.aiter_bytes():
        body += data
        if len(body) >= most:
            break
    return body[:most]
