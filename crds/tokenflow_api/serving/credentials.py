"""What callers carry, and what it proves: API keys and tokens.

What was proven once is remembered by its digest, so that it costs a hash the next time.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import jwt

from tokenflow_api.api_keys import KeyRing, digest_of
from tokenflow_api.pacing_policy import Jwt, Tenant
from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_api.serving import tokens
from tokenflow_api.serving.errors import TokenError
from tokenflow_api.serving.figures import Figures
from tokenflow_api.serving.keysets import LEEWAY_S, MAX_TOKEN, KeySet, KeySource
from tokenflow_api.serving.tokens import ServiceAccount

MAX_REMEMBERED: Final = 10_000
REMEMBERED_S: Final = 300.0
"""A token is proven anew after that time, so that one whose key was withdrawn ends."""

_SCHEME: Final = "bearer "
_JWT: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
"""Begins with the base64 of {"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """What somebody carried, and what it proved.

    Attributes:
        digest: SHA-256 of it; empty for nobody in particular.
        tenant: whose key or token it is.
        key: name of the API key in the tenant's Secret; empty where it is a token.
        issuer: of the tenant's token.
        account: whose projected token it is.
        expires: Unix time in seconds at which it ends.
    """

    digest: bytes = field(default=b"", repr=False)
    tenant: str = ""
    key: str = ""
    issuer: str = ""
    account: ServiceAccount | None = None
    expires: float = math.inf


NOBODY = Credential()


class Credentials:
    """Knows the tenants' keys and the issuers' tokens.

    Args:
        ring: the tenants' API keys.
        cluster: keys of the issuer of service-account tokens; ``None`` where none of those counts.
        published: returns the source of the keys of a policy's own issuer.
        figures: of this server.
        now: Unix time in seconds.

    Attributes:
        keys_end: when the next key of a tenant ends, in Unix milliseconds; of tenants of which one does.
        keyless: tenants whose Secret is not there, or holds no key.
    """

    def __init__(
        self,
        *,
        ring: KeyRing,
        cluster: KeySource | None,
        published: Callable[[Jwt], KeySource],
        figures: Figures,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._accounts = KeySet(cluster) if cluster else None
        self._published = published
        self._figures = figures
        self._now = now
        self._jwt: Jwt | None = None
        self._tenants: frozenset[str] = frozenset()
        self._issuer: KeySet | None = None
        self._remembered: dict[bytes, tuple[Credential, float]] = {}
        self.keys_end: Mapping[str, int] = {}
        self.keyless: Sequence[str] = ()

    def configure(self, issuer: Jwt | None, tenants: Sequence[Tenant]) -> None:
        """Go by another policy from now on."""
        if issuer != self._jwt:
            self._jwt = issuer
            self._issuer = KeySet(self._published(issuer)) if issuer else None
        self._tenants = frozenset(tenant.name for tenant in tenants)
        self._remembered.clear()
        self.refresh(tenants)

    def refresh(self, tenants: Sequence[Tenant]) -> bool:
        """Read the tenants' Secrets if they changed; return whether they did."""
        if not self._ring.refresh(tenants):
            return False
        self._remembered.clear()
        self._figures.key_expiry.clear()
        ends: dict[str, float] = {}
        for key in self._ring:
            if self._now() < key.not_after < math.inf:
                ends[key.tenant] = min(key.not_after, ends.get(key.tenant, math.inf))
        for tenant, end in ends.items():
            self._figures.key_expiry.labels(tenant).set(end)
        self.keys_end = {tenant: round(end * 1000) for tenant, end in ends.items()}
        known = {key.tenant for key in self._ring}
        self.keyless = [t.name for t in tenants if t.api_keys_secret_ref is not None and t.name not in known]
        return True

    def known(self, secret: str) -> Credential | None:
        """Return what a secret proves, as far as that is known without asking anybody; an empty one is nobody's.

        Raises:
            TokenError: it has ended.
        """
        if not secret:
            return NOBODY
        digest = digest_of(secret)
        remembered = self._remembered.get(digest)
        if remembered and remembered[1] > self._now():
            return remembered[0]
        key = self._ring.find_digest(digest)
        if key is None:
            return None
        if not key.counts_at(self._now()):
            self._figures.expired_keys.labels(key.tenant).inc()
            raise TokenError(f"API key {key.name!r} of tenant {key.tenant!r} is not valid at present: use another one")
        credential = Credential(digest=digest, tenant=key.tenant, key=key.name, expires=key.not_after)
        self._remember(credential, until=key.not_after)
        return credential

    def may_prove(self, secret: str) -> bool:
        """Whether a secret that is not known has the form of a token, and somebody's tokens count at all."""
        return bool(self._issuer or self._accounts) and _JWT.fullmatch(secret) is not None

    async def prove(self, secret: str) -> Credential:
        """Return what a token proves.

        Raises:
            TokenError: nothing.
            KeysError: the keys to tell are out of reach.
        """
        policy, issuer = self._jwt, self._issuer
        if policy and issuer and _is_meant_for(policy, secret):
            claims = await issuer.claims(secret, audience=policy.audience)
            tenant, account = tokens.tenant(claims, claim=policy.tenant_claim), None
        elif self._accounts is None:
            raise TokenError("the token is not for the issuer and the audience of the policy")
        else:
            claims = await self._accounts.claims(secret, audience=TOKEN_AUDIENCE)
            tenant, account = "", tokens.service_account(claims)
        # The policy may have become another meanwhile.
        if tenant and (policy is not self._jwt or tenant not in self._tenants):
            raise TokenError(f"the token is for tenant {tenant!r}, which the policy does not have")
        expires = claims["exp"] + LEEWAY_S
        credential = Credential(
            digest=digest_of(secret),
            tenant=tenant,
            issuer=policy.issuer if policy and tenant else "",
            account=account,
            expires=expires,
        )
        self._remember(credential, until=min(expires, self._now() + REMEMBERED_S))
        return credential

    def holds(self, credential: Credential) -> bool:
        """Whether what was proven earlier still counts."""
        if self._now() >= credential.expires:
            return False
        if credential.key:
            key = self._ring.find_digest(credential.digest)
            return key is not None and key.tenant == credential.tenant and key.counts_at(self._now())
        if not credential.issuer:
            return True
        return self._jwt is not None and self._jwt.issuer == credential.issuer and credential.tenant in self._tenants

    def _remember(self, credential: Credential, *, until: float) -> None:
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[credential.digest] = credential, until


def secret_of(authorization: str) -> str:
    """Return what an Authorization header carries; empty without one.

    Raises:
        TokenError: it is of another scheme, too long, or no ASCII.
    """
    if not authorization:
        return ""
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise TokenError("the Authorization header is of another scheme: write Bearer <token or API key>")
    secret = authorization[len(_SCHEME) :].strip()
    if not 0 < len(secret) <= MAX_TOKEN or not secret.isascii():
        raise TokenError(f"what follows Bearer must have 1 to {MAX_TOKEN} ASCII characters")
    return secret


def _is_meant_for(issuer: Jwt, token: str) -> bool:
    """Return whether a token claims to be from the policy's own issuer, which proves nothing yet.

    The cluster's own issuer may be that one, too: then the audience tells its tokens apart.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise TokenError("this is neither an API key of the policy nor a token") from error
    audience = claims.get("aud")
    return claims.get("iss") == issuer.issuer and (
        issuer.audience in audience if isinstance(audience, list) else audience == issuer.audience
    )
