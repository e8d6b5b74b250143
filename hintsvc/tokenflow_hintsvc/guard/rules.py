"""What one generation of a policy says of those who ask."""

from dataclasses import dataclass
from typing import Self

from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_api.serving.credentials import Credential
from tokenflow_api.serving.networks import Origin
from tokenflow_hintsvc.guard.caller import Caller


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """A policy as the guard reads it.

    Attributes:
        tenants: all that there are.
        open_tenants: those that need no key.
        roles: of service accounts, by namespace and name.
        epoch: grows with each change of the rules or of the keys.
    """

    tenants: frozenset[str]
    open_tenants: frozenset[str]
    roles: dict[tuple[str, str], frozenset[Role]]
    epoch: int

    @classmethod
    def of(cls, config: RuntimeConfig, *, epoch: int) -> Self:
        """Return the rules of a policy."""
        roles: dict[tuple[str, str], frozenset[Role]] = {}
        for grant in config.grants:
            account = (grant.namespace, grant.service_account)
            roles[account] = roles.get(account, frozenset()) | {grant.role}
        tenants = config.spec.tenants
        return cls(
            tenants=frozenset(tenant.name for tenant in tenants),
            open_tenants=frozenset(tenant.name for tenant in tenants if tenant.api_keys_secret_ref is None),
            roles=roles,
            epoch=epoch,
        )

    def caller(self, origin: Origin, credential: Credential) -> Caller:
        """Return what somebody with that credential is and may."""
        account = credential.account
        roles = self.roles.get((account.namespace, account.name), frozenset()) if account else frozenset()
        if Role.GATEWAY in roles:
            readable = self.tenants
        elif credential.tenant:
            readable = self.open_tenants | (self.tenants & {credential.tenant})
        else:
            readable = self.open_tenants
        return Caller(origin=origin, credential=credential, roles=roles, readable=readable, epoch=self.epoch)
