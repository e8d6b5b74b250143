"""Where the keys of issuers of tokens are published: by the cluster, by an OpenID Connect issuer, or in a file."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import jwt

from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.keysets import Issued

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KEYS_URL: Final = "https://kubernetes.default.svc/openid/v1/jwks"
FETCH_S: Final = 3.0
MAX_DOCUMENT: Final = 256 * 1024


class Fetch(Protocol):
    """Asks by https, with the client that a server has."""

    async def __call__(self, url: str, *, context: ssl.SSLContext, headers: Mapping[str, str]) -> bytes:
        """Return the body of an answer 200, within ``FETCH_S`` and of at most ``MAX_DOCUMENT`` bytes.

        A redirect is not followed: it could lead away from https, and into the cluster.

        Raises:
            KeysError: there is no such answer.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterKeys:
    """The issuer of the cluster that this pod runs in.

    Attributes:
        fetch_document: asks the API server.
    """

    fetch_document: Fetch

    async def fetch(self) -> Issued:
        """Return the issuer and its JWKS document.

        Raises:
            KeysError: the API server is out of reach or refused.
        """
        try:
            own = await asyncio.to_thread((SERVICE_ACCOUNT / "token").read_text)
            issuer = str(jwt.decode(own, options={"verify_signature": False})["iss"])
            context = await asyncio.to_thread(ssl.create_default_context, cafile=str(SERVICE_ACCOUNT / "ca.crt"))
        except (OSError, KeyError, jwt.PyJWTError, ValueError) as error:
            raise KeysError(f"the cluster's keys are out of reach: {type(error).__name__}: {error}") from error
        headers = {"Authorization": f"Bearer {own.strip()}"}
        answer = await self.fetch_document(KEYS_URL, context=context, headers=headers)
        return Issued(issuer=issuer, document=_document(answer, of=KEYS_URL))


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedKeys:
    """The keys that an OpenID Connect issuer publishes.

    Attributes:
        issuer: its name.
        url: of its JWKS document.
        fetch_document: asks for it.
        context: trust; by default that of the system.
    """

    issuer: str
    url: str
    fetch_document: Fetch
    context: ssl.SSLContext | None = None

    async def fetch(self) -> Issued:
        """Return the issuer and its JWKS document.

        Raises:
            KeysError: it is out of reach, refused, or not asked by https.
        """
        if not self.url.startswith("https://"):
            raise KeysError("jwksURL is no https address")
        context = self.context if self.context is not None else await asyncio.to_thread(ssl.create_default_context)
        answer = await self.fetch_document(self.url, context=context, headers={})
        return Issued(issuer=self.issuer, document=_document(answer, of=self.url))


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFile:
    """A mounted copy of an issuer's JWKS document, where the API server is not to be asked for it.

    Attributes:
        issuer: its name, as the tokens' ``iss`` claim has it.
        file: the document; it is read anew when a token names a key that it did not hold.
    """

    issuer: str
    file: Path

    async def fetch(self) -> Issued:
        """Return the issuer and its JWKS document.

        Raises:
            KeysError: the file cannot be read, or holds no such document.
        """
        try:
            text = await asyncio.to_thread(self.file.read_bytes)
        except OSError as error:
            raise KeysError(f"the issuer's keys in {self.file} cannot be read: {error}") from error
        return Issued(issuer=self.issuer, document=_document(text, of=str(self.file)))


def _document(text: bytes, *, of: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeysError(f"{of} holds no JSON: {error}") from error
    if not isinstance(document, dict):
        raise KeysError(f"{of} holds no JWKS document")
    return document
