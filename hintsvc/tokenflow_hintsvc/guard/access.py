"""The door of a replica, the same for all its listeners: who asks, from where, and how often.

``recognise`` answers at once from memory. ``None`` from it says that a token must be proven first, by ``admit``.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.errors import KeysError, TokenError
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.caller import Caller, Credential
from tokenflow_hintsvc.guard.credentials import Credentials, secret_of
from tokenflow_hintsvc.guard.networks import Origin
from tokenflow_hintsvc.guard.rates import RateLimiter
from tokenflow_hintsvc.guard.rules import Rules
from tokenflow_hintsvc.problems import ProblemError, not_authenticated

_LOOK_S: Final = 1.0


class Guard:
    """Lets callers in, or refuses them with a problem.

    Networks and rates bind clients. A part of TokenFlow, which shows a service account's token that the policy
    grants a role, is known by that: it may come from anywhere and as often as it needs to.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        *,
        credentials: Credentials,
        audit: Audit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._audit = audit
        self._addresses = RateLimiter(clock=clock)
        self._keys = RateLimiter(clock=clock)
        self._epochs = itertools.count(1)
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on."""
        self._config = config
        self._credentials.configure(config.spec.security.jwt, config.spec.tenants)
        self._audit.done("ConfigApplied", reason=f"generation {config.generation}")
        self._renew_rules()

    def keys_end(self) -> Mapping[str, int]:
        """Return when the next API key of a tenant ends, in Unix milliseconds, of tenants of which one does."""
        return self._credentials.keys_end

    def keyless(self) -> Sequence[str]:
        """Return the tenants whose Secret is not there, or holds no key."""
        return self._credentials.keyless

    async def run(self) -> None:
        """Look after the tenants' Secrets, for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Take in the tenants' Secrets, if they changed."""
        if self._credentials.refresh(self._config.spec.tenants):
            self._audit.done("KeysChanged")
            self._renew_rules()

    def address(self, *, peer: str, forwarded_for: str = "") -> str:
        """Return where somebody asks from, behind trusted proxies."""
        return self._rules.networks.origin(peer=peer, forwarded_for=forwarded_for).address

    def recognise(self, *, peer: str, authorization: str, forwarded_for: str = "") -> Caller | None:
        """Return who asks, and count the request; ``None`` where only ``admit`` can tell.

        Args:
            peer: address at the other end of the connection.
            authorization: that header; empty without one.
            forwarded_for: the X-Forwarded-For header.

        Raises:
            ProblemError: they may not: 401, 403 or 429.
        """
        origin = self._rules.networks.origin(peer=peer, forwarded_for=forwarded_for)
        try:
            credential = self._credentials.known(secret_of(authorization))
        except TokenError as error:
            self._check_address(origin)
            raise not_authenticated(str(error)) from error
        return None if credential is None else self._let_in(origin, credential)

    async def admit(self, *, peer: str, authorization: str, forwarded_for: str = "") -> Caller:
        """Return who asks, and count the request; unlike ``recognise`` it may have to fetch an issuer's keys.

        Raises:
            ProblemError: they may not: 401, 403 or 429; or nobody can tell at present: 503.
        """
        origin = self._rules.networks.origin(peer=peer, forwarded_for=forwarded_for)
        try:
            secret = secret_of(authorization)
            credential = self._credentials.known(secret)
            if credential is None:
                # Before the work of proving: forgeries must not cost more than their sender's rate.
                self._check_rate(origin)
                credential = await self._credentials.prove(secret)
        except TokenError as error:
            self._check_address(origin)
            raise not_authenticated(str(error)) from error
        except KeysError as error:
            raise _keys_unavailable() from error
        return self._let_in(origin, credential)

    def again(self, caller: Caller) -> bool:
        """Count another request of a caller on the same connection, with the same headers.

        Returns:
            Whether they are still who they were; otherwise they must be recognised anew.

        Raises:
            ProblemError: they ask too often: 429.
        """
        if caller.epoch != self._rules.epoch or not self._credentials.holds(caller.credential):
            return False
        if not caller.roles:
            self._check_rate(caller.origin)
            self._check_key(caller.credential)
        return True

    def renew(self, caller: Caller) -> Caller:
        """Return what a caller, whose stream has been open for a while, is by the present rules.

        Raises:
            ProblemError: their credential has ended, or clients may no longer come from where they are: 401 or 403.
        """
        if not self._credentials.holds(caller.credential):
            raise not_authenticated("the credential of this stream has ended")
        if caller.epoch == self._rules.epoch:
            return caller
        origin = self._rules.networks.origin(peer=caller.origin.address, forwarded_for="")
        renewed = self._rules.caller(origin, caller.credential)
        if not renewed.roles:
            _check_network(origin)
        return renewed

    def _let_in(self, origin: Origin, credential: Credential) -> Caller:
        caller = self._rules.caller(origin, credential)
        if not caller.roles:
            self._check_address(origin)
            self._check_key(credential)
        return caller

    def _check_address(self, origin: Origin) -> None:
        _check_network(origin)
        self._check_rate(origin)

    def _check_rate(self, origin: Origin) -> None:
        limit = self._rules.security.requests_per_second_per_ip
        early = self._addresses.take(origin.client, per_second=limit)
        if early:
            raise _too_often(early, f"{limit} requests per second from one address", "requestsPerSecondPerIP")

    def _check_key(self, credential: Credential) -> None:
        if not credential.digest:
            return
        limit = self._rules.security.requests_per_second_per_key
        early = self._keys.take(credential.digest, per_second=limit)
        if early:
            raise _too_often(early, f"{limit} requests per second with one key or token", "requestsPerSecondPerKey")

    def _renew_rules(self) -> None:
        self._rules = Rules.of(self._config, epoch=next(self._epochs))


def _check_network(origin: Origin) -> None:
    if not origin.allowed:
        raise ProblemError(
            403,
            code="AddressNotAllowed",
            detail=f"clients may not come from {origin.address or 'there'}",
            remedy="add the network to spec.security.allowCIDRs, or its proxy to trustedProxyCIDRs",
        )


def _keys_unavailable() -> ProblemError:
    return ProblemError(
        503,
        code="KeysUnavailable",
        detail="the keys that this token could be verified with are out of reach",
        remedy="try again; if it lasts, look at the hint service's log",
        retry_after_s=5,
    )


def _too_often(early_s: float, limit: str, name: str) -> ProblemError:
    return ProblemError(
        429,
        code="TooManyRequests",
        detail=f"more than {limit}",
        remedy=f"ask less often, or raise spec.security.{name}; GET /v1/hints/stream needs one request only",
        retry_after_s=max(1, math.ceil(early_s)),
    )
