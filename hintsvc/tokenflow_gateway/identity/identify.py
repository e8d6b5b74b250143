"""Whose request is it, and may it come from there and now."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.pacing_policy import Jwt, Tenant
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.credentials import NOBODY, Credential, Credentials, secret_of
from tokenflow_api.serving.errors import AddressError, KeysError, ServingError, TooOftenError
from tokenflow_api.serving.keysets import KeySource
from tokenflow_api.serving.limits import Limits
from tokenflow_api.serving.networks import Origin
from tokenflow_gateway.errors import (
    AddressNotAllowedError,
    GatewayError,
    KeysUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
)
from tokenflow_gateway.front.exchange import Request
from tokenflow_gateway.metrics import SERVING

_log = logging.getLogger(__name__)

TENANT_HEADERS: Final = ("x-tenant-id", "x-gateway-inference-fairness-id", "x-llm-d-inference-fairness-id")
"""Any of them names a tenant that needs no key; the first that is there counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who asks.

    Attributes:
        tenant: whose request it is.
        address: where it comes from, behind trusted proxies; empty where nobody can tell.
        key: name of the API key in the tenant's Secret; empty where it was a token or none.
    """

    tenant: Tenant
    address: str
    key: str

    @property
    def subject(self) -> str:
        """Who it is, in words for a record."""
        return f"tenant:{self.tenant.name}"


class Guard:
    """Tells whose a request is, and keeps the limits of ``spec.security``.

    Args:
        ring: the tenants' API keys.
        published: returns the source of the keys of a policy's own issuer.
        now: Unix time in seconds.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        ring: KeyRing,
        published: Callable[[Jwt], KeySource],
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = Credentials(ring=ring, cluster=None, published=published, figures=SERVING, now=now)
        self._clock = clock
        self._config: RuntimeConfig | None = None
        self._limits: Limits | None = None
        self._tenants: dict[str, Tenant] = {}
        self._open: dict[str, Tenant] = {}

    async def identify(self, request: Request, config: RuntimeConfig) -> Identity:
        """Return who sent a request, and count it.

        An API key decides, or a token of the policy's issuer. Without one of a tenant, one that needs no key may be
        named by ``x-tenant-id``; where just one needs none, it need not be named. Clients that always send some key
        get there with any that is nobody's.

        Raises:
            UnauthorizedError: it belongs to no tenant.
            AddressNotAllowedError: clients may not come from there.
            TooManyRequestsError: the address, the key or the token asks too often.
            KeysUnavailableError: the keys that its token could be verified with are out of reach.
        """
        limits = self._under(config)
        origin = self._origin(request, limits)
        try:
            limits.check_network(origin)
            limits.check_rate(origin)
            credential = await self._credential(secret_of(request.headers.get("authorization", "")))
            limits.check_key(credential)
        except ServingError as error:
            raise _refusal(error) from error
        tenant = self._tenants.get(credential.tenant) or self._without_key(request.headers)
        return Identity(tenant=tenant, address=origin.address, key=credential.key)

    def address(self, request: Request, config: RuntimeConfig) -> str:
        """Return where a request comes from, behind trusted proxies; for the record of one that was refused."""
        return self._origin(request, self._under(config)).address

    def _under(self, config: RuntimeConfig) -> Limits:
        """Go by ``config``, and by the keys that there are now."""
        if self._limits is None:
            self._limits = Limits(config.spec.security, clock=self._clock)
        if config is not self._config:
            self._config = config
            self._limits.configure(config.spec.security)
            self._credentials.configure(config.spec.security.jwt, config.spec.tenants)
            self._tenants = {tenant.name: tenant for tenant in config.spec.tenants}
            self._open = {name: tenant for name, tenant in self._tenants.items() if tenant.api_keys_secret_ref is None}
        self._credentials.refresh(config.spec.tenants)
        return self._limits

    def _origin(self, request: Request, limits: Limits) -> Origin:
        return limits.origin(peer=request.peer, forwarded_for=request.headers.get("x-forwarded-for", ""))

    async def _credential(self, secret: str) -> Credential:
        credential = self._credentials.known(secret)
        if credential is not None:
            return credential
        return await self._credentials.prove(secret) if self._credentials.may_prove(secret) else NOBODY

    def _without_key(self, headers: Mapping[str, str]) -> Tenant:
        named = next((headers[name] for name in TENANT_HEADERS if headers.get(name)), "")
        if named in self._open:
            return self._open[named]
        if named:
            raise UnauthorizedError(
                f"tenant {named[:63]!r} is unknown or needs its API key: send Authorization: Bearer <key>"
            )
        if len(self._open) == 1:
            return next(iter(self._open.values()))
        raise UnauthorizedError(
            "no tenant has this API key: send Authorization: Bearer <key>, or name a tenant that needs none in"
            " x-tenant-id"
        )


def _refusal(error: ServingError) -> GatewayError:
    """Return the answer to somebody who is not let in."""
    match error:
        case AddressError():
            return AddressNotAllowedError(
                f"{error}: let the administrator add the network to spec.security.allowCIDRs, or its proxy to"
                " trustedProxyCIDRs"
            )
        case TooOftenError():
            return TooManyRequestsError(
                f"{error}: ask less often, or let the administrator raise spec.security.{error.setting}",
                retry_after_s=max(1, math.ceil(error.early_s)),
            )
        case KeysError():
            _log.warning("a token cannot be verified", extra={"reason": str(error)})
            return KeysUnavailableError("the keys that this token could be verified with are out of reach: try again")
        case _:
            return UnauthorizedError(str(error))
