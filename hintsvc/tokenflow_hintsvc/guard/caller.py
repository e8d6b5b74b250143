"""Who asks."""

from dataclasses import dataclass

from tokenflow_api.runtime import Role
from tokenflow_api.serving.credentials import NOBODY, Credential
from tokenflow_api.serving.networks import Origin
from tokenflow_api.serving.tokens import ServiceAccount


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
