"""The public keys of an issuer of tokens: fetched, kept, and fetched anew when a token names an unknown one."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt

from tokenflow_api.serving.errors import KeysError, TokenError

_log = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
MAX_TOKEN: Final = 8192
LEEWAY_S: Final = 10.0
"""Clocks may differ by that much."""

_REFRESH_S: Final = 10.0
_MAX_KEYS: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """An issuer and its JWKS document."""

    issuer: str
    document: Mapping[str, Any]


class KeySource(Protocol):
    """Where the issuer's name and keys come from."""

    async def fetch(self) -> Issued:
        """Return them as they are now.

        Raises:
            KeysError: they are out of reach.
        """


class KeySet:
    """Holds an issuer's keys; they are fetched anew for an unknown key, at most once in ten seconds."""

    def __init__(self, source: KeySource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._issuer = ""
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched: float | None = None
        self._failure = ""
        self._lock = asyncio.Lock()

    async def claims(self, token: str, *, audience: str) -> dict[str, Any]:
        """Return what a token says, once it is proven.

        Raises:
            TokenError: it is too long, not valid now, for another audience, or not signed by the issuer.
            KeysError: the issuer's keys are out of reach.
        """
        if len(token) > MAX_TOKEN:
            raise TokenError("the token is too long to be one")
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            return jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp"]},
            )
        except jwt.PyJWTError as error:
            raise TokenError(f"the token is refused: {error}") from error

    async def _key(self, identifier: str) -> jwt.PyJWK:
        if identifier in self._keys:
            # Known keys must not wait while somebody else's unknown one is looked for.
            return self._keys[identifier]
        async with self._lock:
            stale = self._fetched is None or self._clock() - self._fetched > _REFRESH_S
            if identifier not in self._keys and stale:
                self._fetched = self._clock()
                await self._refresh()
        if identifier not in self._keys and self._failure:
            raise KeysError(self._failure)
        if identifier not in self._keys:
            raise TokenError("the token is signed by a key that its issuer does not publish")
        return self._keys[identifier]

    async def _refresh(self) -> None:
        try:
            issued = await self._source.fetch()
            usable = _usable(issued.document)
        except KeysError as error:
            self._failure = str(error)
            _log.warning("tokens of unknown keys cannot be verified", extra={"reason": self._failure})
            raise
        self._issuer, self._keys, self._failure = issued.issuer, usable, ""


def _usable(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    try:
        keys = jwt.PyJWKSet.from_dict(dict(document)).keys
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError) as error:
        raise KeysError(f"the issuer's keys cannot be read: {type(error).__name__}: {error}") from error
    # A symmetric key in such a document is public: whoever reads it could sign.
    return {key.key_id or "": key for key in keys[:_MAX_KEYS] if key.algorithm_name in ALGORITHMS}
