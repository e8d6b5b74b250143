"""Asks issuers for their keys."""

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from tokenflow_api.pacing_policy import Jwt
from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.issuers import FETCH_S, MAX_DOCUMENT, PublishedKeys


def published(issuer: Jwt) -> PublishedKeys:
    """Return the keys of the issuer that a policy names."""
    return PublishedKeys(issuer=issuer.issuer, url=issuer.jwks_url, fetch_document=fetch)


async def fetch(url: str, *, context: ssl.SSLContext, headers: Mapping[str, str]) -> bytes:
    """Return the body of an answer 200, as ``tokenflow_api.serving.issuers.Fetch`` says.

    Raises:
        KeysError: there is no such answer.
    """
    body = bytearray()
    try:
        async with (
            asyncio.timeout(FETCH_S),
            # One that is cancelled within its TLS handshake, not timed out, would leave its connection open.
            httpx.AsyncClient(verify=context, timeout=FETCH_S / 2, trust_env=False) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise KeysError(f"{url} answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT:
                    raise KeysError(f"{url} answered with more than {MAX_DOCUMENT} bytes")
    except (OSError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise KeysError(f"the issuer's keys are out of reach: {type(error).__name__}: {error}") from error
    return bytes(body)
