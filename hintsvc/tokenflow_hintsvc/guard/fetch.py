"""Asks issuers for their keys."""

import ssl
from collections.abc import Mapping

import aiohttp

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
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_S)) as session,
            session.get(url, ssl=context, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
                raise KeysError(f"{url} answered {answer.status}")
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_DOCUMENT:
                    raise KeysError(f"{url} answered with more than {MAX_DOCUMENT} bytes")
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        raise KeysError(f"the issuer's keys are out of reach: {type(error).__name__}: {error}") from error
    return bytes(body)
