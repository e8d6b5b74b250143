"""Whose request is it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.errors import TooManyStreamsError, UnauthorizedError

TENANT_HEADER: Final = "x-tenant-id"
_SCHEME: Final = "bearer "


def identify(headers: Mapping[str, str], config: RuntimeConfig, *, keys: KeyRing) -> Tenant:
    """Return the tenant that a request belongs to.

    An API key decides. Without one, a tenant that needs no key may be named by ``x-tenant-id``; where just one
    tenant needs none, it need not be named.

    Args:
        headers: of the request.
        config: the policy.
        keys: of the tenants.

    Raises:
        UnauthorizedError: it belongs to none.
    """
    tenants = {tenant.name: tenant for tenant in config.spec.tenants}
    authorization = headers.get("Authorization", "")
    if authorization.lower().startswith(_SCHEME):
        keys.refresh(config.spec.tenants)
        key = keys.find(authorization[len(_SCHEME) :].strip())
        if key and not key.counts_at(time.time()):
            raise UnauthorizedError(
                f"API key {key.name!r} of tenant {key.tenant!r} is not valid at present: use another one"
            )
        if key:
            return tenants[key.tenant]
    open_tenants = [tenant for tenant in tenants.values() if tenant.api_keys_secret_ref is None]
    named = headers.get(TENANT_HEADER, "")
    if named:
        found = next((tenant for tenant in open_tenants if tenant.name == named), None)
        if found:
            return found
        raise UnauthorizedError(f"tenant {named!r} is unknown or needs its API key: send Authorization: Bearer <key>")
    if len(open_tenants) == 1:
        return open_tenants[0]
    raise UnauthorizedError(
        "no tenant has this API key: send Authorization: Bearer <key>, or name a tenant that needs none in x-tenant-id"
    )


class OpenStreams:
    """Counts the streams of each tenant."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, tenant: Tenant) -> Iterator[None]:
        """Hold one stream of the tenant.

        Raises:
            TooManyStreamsError: the tenant has as many open as it may.
        """
        if self._open[tenant.name] >= tenant.max_concurrent_streams:
            raise TooManyStreamsError(
                f"tenant {tenant.name!r} has {tenant.max_concurrent_streams} streams open, as many as it may"
            )
        self._open[tenant.name] += 1
        try:
            yield
        finally:
            self._open[tenant.name] -= 1
