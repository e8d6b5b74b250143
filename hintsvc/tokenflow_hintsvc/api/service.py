"""What the handlers work with."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_api.serving.tls import Certificates
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.guard.access import Guard
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.ingest.intake import Intake
from tokenflow_hintsvc.leader import Leader
from tokenflow_hintsvc.problems import ProblemError, no_config, not_authenticated
from tokenflow_hintsvc.quota.keeper import Keeper
from tokenflow_hintsvc.store.audit import AuditLog
from tokenflow_hintsvc.store.clock import ServiceClock
from tokenflow_hintsvc.store.explanations import Explanations
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.store.quotas import Quotas
from tokenflow_hintsvc.store.replicas import Replicas
from tokenflow_hintsvc.store.telemetry import Telemetry
from tokenflow_hintsvc.store.usage import Usage
from tokenflow_hintsvc.view.answers import HintAnswers
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.feed import Feed


@dataclass(kw_only=True, slots=True)
class Service:
    """A replica, as its handlers see it."""

    telemetry: Telemetry
    intake: Intake
    clock: ServiceClock
    leadership: Leadership
    replicas: Replicas
    explanations: Explanations
    configuration: Configuration
    view: View
    answers: HintAnswers
    feed: Feed
    leader: Leader
    guard: Guard
    audit: Audit
    audit_log: AuditLog
    quotas: Keeper
    shared_quotas: Quotas
    usage: Usage
    certificates: Certificates | None
    draining: asyncio.Event

    def config(self) -> RuntimeConfig:
        """Return the config in force.

        Raises:
            ProblemError: there is none yet.
        """
        if self.configuration.current is None:
            raise no_config()
        return self.configuration.current

    def caller(self, request: web.Request) -> Caller:
        """Return who asks, as the guard let them in."""
        return request[CALLER]

    def require(self, request: web.Request, *roles: Role) -> Caller:
        """Return who asks, if they have one of ``roles``.

        Raises:
            ProblemError: they have none of them.
        """
        caller = self.caller(request)
        if not caller.credential.digest:
            raise not_authenticated("this needs a credential")
        if not caller.roles & set(roles):
            raise ProblemError(
                403,
                code="NotAllowed",
                detail=f"this needs the role {' or '.join(roles)}",
                remedy="use the service account of that part of TokenFlow; agents get theirs by spec.telemetry.agents",
            )
        return caller

    def readable_tenant(self, request: web.Request) -> str:
        """Return the tenant that the path names, if the caller may read of it.

        Raises:
            ProblemError: there is none of that name, or it is not theirs; the answer is the same for both.
        """
        tenant = request.match_info["tenant"]
        self.check_readable(self.caller(request), tenant)
        return tenant

    def check_readable(self, caller: Caller, tenant: str) -> None:
        """See that a caller may read of a tenant.

        Raises:
            ProblemError: there is none of that name, or it is not theirs; the answer is the same for both.
        """
        if not caller.may_read(tenant):
            raise ProblemError(
                404 if caller.roles else 403,
                code="TenantNotReadable",
                detail=f"no tenant {tenant!r} that this caller may read of",
                remedy="send an API key of the tenant, or add it under spec.tenants of the PacingPolicy",
                field="tenant",
            )


SERVICE: Final = web.AppKey("service", Service)
CALLER: Final = web.RequestKey("caller", Caller)
"""Who sent a request."""
