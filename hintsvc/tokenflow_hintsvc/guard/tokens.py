"""Verifies projected service-account tokens offline, against the cluster's own keys."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import jwt

from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_hintsvc.errors import TokenError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KEYS_URL: Final = "https://kubernetes.default.svc/openid/v1/jwks"
ALGORITHMS: Final = ("RS256", "ES256")
_REFRESH_S: Final = 10.0
_TIMEOUT_S: Final = 3.0
_MAX_TOKEN: Final = 8192


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Whom a token speaks for."""

    namespace: str
    name: str


class KeySource(Protocol):
    """Where the issuer's name and keys come from."""

    async def fetch(self) -> tuple[str, dict[str, Any]]:
        """Return the issuer and its JWKS document."""


class ClusterKeys:
    """The issuer of the cluster that this pod runs in."""

    async def fetch(self) -> tuple[str, dict[str, Any]]:
        """Return the issuer and its JWKS document.

        Raises:
            TokenError: the API server is out of reach or refused.
        """
        try:
            own = await asyncio.to_thread((SERVICE_ACCOUNT / "token").read_text)
            issuer = str(jwt.decode(own, options={"verify_signature": False})["iss"])
            context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session,
                session.get(KEYS_URL, ssl=context, headers={"Authorization": f"Bearer {own.strip()}"}) as answer,
            ):
                answer.raise_for_status()
                return issuer, json.loads(await answer.text())
        except (OSError, KeyError, jwt.PyJWTError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise TokenError(f"the cluster's keys are out of reach: {type(error).__name__}: {error}") from error


class TokenVerifier:
    """Holds the issuer's keys; they are fetched anew for an unknown key, at most once in ten seconds."""

    def __init__(self, source: KeySource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._issuer = ""
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched: float | None = None
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> ServiceAccount:
        """Return whom the token speaks for.

        Raises:
            TokenError: it is too long, expired, for another audience, or not signed by the issuer.
        """
        if len(token) > _MAX_TOKEN:
            raise TokenError("the token is too long to be one")
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(token, key, algorithms=list(ALGORITHMS), audience=TOKEN_AUDIENCE, issuer=self._issuer)
            account = claims["kubernetes.io"]["serviceaccount"]["name"]
            return ServiceAccount(claims["kubernetes.io"]["namespace"], account)
        except (jwt.PyJWTError, KeyError, TypeError) as error:
            raise TokenError(f"the token is refused: {error}") from error

    async def _key(self, identifier: str) -> jwt.PyJWK:
        if identifier in self._keys:
            # Known keys must not wait while somebody else's unknown one is looked for.
            return self._keys[identifier]
        async with self._lock:
            stale = self._fetched is None or self._clock() - self._fetched > _REFRESH_S
            if identifier not in self._keys and stale:
                self._fetched = self._clock()
                self._issuer, document = await self._source.fetch()
                self._keys = {key.key_id or "": key for key in jwt.PyJWKSet.from_dict(document).keys}
        if identifier not in self._keys:
            raise TokenError("the token is signed by an unknown key: is it from this cluster?")
        return self._keys[identifier]
