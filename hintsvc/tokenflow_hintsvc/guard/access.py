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
from tokenflow_api.serving.credentials import Credential, Credentials, secret_of
from tokenflow_api.serving.errors import AddressError, KeysError, ServingError, TokenError, TooOftenError
from tokenflow_api.serving.limits import Limits
from tokenflow_api.serving.networks import Origin
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.caller import Caller
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
        self._limits = Limits(config.spec.security, clock=clock)
        self._epochs = itertools.count(1)
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on."""
        self._config = config
        self._limits.configure(config.spec.security)
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
        return self._limits.origin(peer=peer, forwarded_for=forwarded_for).address

    def recognise(self, *, peer: str, authorization: str, forwarded_for: str = "") -> Caller | None:
        """Return who asks, and count the request; ``None`` where only ``admit`` can tell.

        Args:
            peer: address at the other end of the connection.
            authorization: that header; empty without one.
            forwarded_for: the X-Forwarded-For header.

        Raises:
            ProblemError: they may not: 401, 403 or 429.
        """
        origin = self._limits.origin(peer=peer, forwarded_for=forwarded_for)
        try:
            credential = self._known(origin, authorization)
            return None if credential is None else self._let_in(origin, credential)
        except ServingError as error:
            raise _problem(error) from error

    async def admit(self, *, peer: str, authorization: str, forwarded_for: str = "") -> Caller:
        """Return who asks, and count the request; unlike ``recognise`` it may have to fetch an issuer's keys.

        Raises:
            ProblemError: they may not: 401, 403 or 429; or nobody can tell at present: 503.
        """
        origin = self._limits.origin(peer=peer, forwarded_for=forwarded_for)
        try:
            credential = self._known(origin, authorization) or await self._prove(origin, authorization)
            return self._let_in(origin, credential)
        except ServingError as error:
            raise _problem(error) from error

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
            try:
                self._limits.check_rate(caller.origin)
                self._limits.check_key(caller.credential)
            except ServingError as error:
                raise _problem(error) from error
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
        origin = self._limits.origin(peer=caller.origin.address, forwarded_for="")
        renewed = self._rules.caller(origin, caller.credential)
        if not renewed.roles:
            try:
                self._limits.check_network(origin)
            except ServingError as error:
                raise _problem(error) from error
        return renewed

    def _known(self, origin: Origin, authorization: str) -> Credential | None:
        try:
            return self._credentials.known(secret_of(authorization))
        except TokenError:
            self._check_address(origin)
            raise

    async def _prove(self, origin: Origin, authorization: str) -> Credential:
        # Before the work of proving: forgeries must not cost more than their sender's rate.
        self._limits.check_rate(origin)
        try:
            return await self._credentials.prove(secret_of(authorization))
        except TokenError:
            self._check_address(origin)
            raise

    def _let_in(self, origin: Origin, credential: Credential) -> Caller:
        caller = self._rules.caller(origin, credential)
        if not caller.roles:
            self._check_address(origin)
            self._limits.check_key(credential)
        return caller

    def _check_address(self, origin: Origin) -> None:
        self._limits.check_network(origin)
        self._limits.check_rate(origin)

    def _renew_rules(self) -> None:
        self._rules = Rules.of(self._config, epoch=next(self._epochs))


def _problem(error: ServingError) -> ProblemError:
    """Return the answer to somebody who is not let in."""
    match error:
        case AddressError():
            return ProblemError(
                403,
                code="AddressNotAllowed",
                detail=str(error),
                remedy="add the network to spec.security.allowCIDRs, or its proxy to trustedProxyCIDRs",
            )
        case TooOftenError():
            return ProblemError(
                429,
                code="TooManyRequests",
                detail=str(error),
                remedy=f"ask less often, or raise spec.security.{error.setting};"
                " GET /v1/hints/stream needs one request only",
                retry_after_s=max(1, math.ceil(error.early_s)),
            )
        case KeysError():
            return ProblemError(
                503,
                code="KeysUnavailable",
                detail="the keys that this token could be verified with are out of reach",
                remedy="try again; if it lasts, look at the hint service's log",
                retry_after_s=5,
            )
        case _:
            return not_authenticated(str(error))
