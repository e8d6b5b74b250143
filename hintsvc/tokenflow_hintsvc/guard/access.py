"""Who asks, and what they may do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenflow_api.api_keys import tenant_of_key
from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_hintsvc.errors import TokenError
from tokenflow_hintsvc.guard.tokens import TokenVerifier

_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone who asks: by the roles of a service account, as a tenant by key, or nobody in particular."""

    roles: frozenset[Role] = frozenset()
    tenant: str = ""

    def may_read(self, tenant: str, config: RuntimeConfig) -> bool:
        """Whether the hints of ``tenant`` are theirs to read."""
        if Role.GATEWAY in self.roles or self.tenant == tenant:
            return True
        return any(known.name == tenant and known.api_keys_secret_ref is None for known in config.spec.tenants)


class Doorkeeper:
    """Tells callers apart by what they carry."""

    def __init__(self, *, verifier: TokenVerifier, tenants_directory: Path) -> None:
        self._verifier = verifier
        self._directory = tenants_directory

    async def identify(self, authorization: str, config: RuntimeConfig) -> Caller:
        """Return who sent this Authorization header; an empty one is nobody in particular.

        Raises:
            TokenError: it proves nothing.
        """
        if not authorization:
            return Caller()
        if not authorization.lower().startswith(_SCHEME):
            raise TokenError("write Authorization: Bearer <token or API key>")
        secret = authorization[len(_SCHEME) :].strip()
        tenant = tenant_of_key(secret, config.spec.tenants, directory=self._directory)
        if tenant:
            return Caller(tenant=tenant)
        account = await self._verifier.verify(secret)
        return Caller(
            roles=frozenset(
                grant.role
                for grant in config.grants
                if (grant.namespace, grant.service_account) == (account.namespace, account.name)
            )
        )
