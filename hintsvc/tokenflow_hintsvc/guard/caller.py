"""Who asks."""

import math
from dataclasses import dataclass, field

from tokenflow_api.runtime import Role
from tokenflow_hintsvc.guard.networks import Origin


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Whom a projected token speaks for, and the pod and node that it is bound to, where it says so."""

    namespace: str
    name: str
    pod: str = ""
    node: str = ""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Someone who asks: by the roles of a service account, as a tenant by key or token, or nobody in particular.

    Attributes:
        origin: where they ask from.
        credential: what they carry.
        roles: what they may do as a part of TokenFlow.
        readable: tenants whose hints, usage and explanations are theirs to read.
        epoch: of the guard's rules that this was judged by.
    """

    origin: Origin
    credential: Credential = NOBODY
    roles: frozenset[Role] = frozenset()
    readable: frozenset[str] = frozenset()
    epoch: int = 0

    @property
    def tenant(self) -> str:
        """The tenant that they are, by key or token."""
        return self.credential.tenant

    @property
    def account(self) -> ServiceAccount | None:
        """The service account that they are."""
        return self.credential.account

    @property
    def subject(self) -> str:
        """Who it is, in words for a record."""
        if self.account:
            return f"serviceaccount:{self.account.namespace}/{self.account.name}"
        return f"tenant:{self.tenant}" if self.tenant else "anonymous"

    def may_read(self, tenant: str) -> bool:
        """Whether the hints, usage and explanations of ``tenant`` are theirs to read."""
        return tenant in self.readable
