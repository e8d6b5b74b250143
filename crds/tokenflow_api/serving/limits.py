"""From where clients may come, and how often: what ``spec.security`` says of it."""

import time
from collections.abc import Callable

from tokenflow_api.pacing_policy import Security
from tokenflow_api.serving.credentials import Credential
from tokenflow_api.serving.errors import AddressError, TooOftenError
from tokenflow_api.serving.networks import Networks, Origin
from tokenflow_api.serving.rates import RateLimiter


class Limits:
    """The networks and rates of a policy, and what was spent of the rates.

    Args:
        security: of the policy.
        clock: monotonic, in seconds.
    """

    def __init__(self, security: Security, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._addresses = RateLimiter(clock=clock)
        self._keys = RateLimiter(clock=clock)
        self.configure(security)

    def configure(self, security: Security) -> None:
        """Go by another policy from now on."""
        self._security = security
        self._networks = Networks(security)

    def origin(self, *, peer: str, forwarded_for: str) -> Origin:
        """Return where somebody asks from, behind trusted proxies.

        Args:
            peer: address at the other end of the connection; empty with a socket that has none.
            forwarded_for: the X-Forwarded-For header.
        """
        return self._networks.origin(peer=peer, forwarded_for=forwarded_for)

    def check_network(self, origin: Origin) -> None:
        """See that clients may come from there.

        Raises:
            AddressError: they may not.
        """
        if not origin.allowed:
            raise AddressError(f"clients may not come from {origin.address or 'there'}")

    def check_rate(self, origin: Origin) -> None:
        """Count a request from an address.

        Raises:
            TooOftenError: it is more than one address may send.
        """
        limit = self._security.requests_per_second_per_ip
        early = self._addresses.take(origin.client, per_second=limit)
        if early:
            raise TooOftenError(
                f"{limit} requests per second from one address", setting="requestsPerSecondPerIP", early_s=early
            )

    def check_key(self, credential: Credential) -> None:
        """Count a request with a key or token; without one there is none to count.

        Raises:
            TooOftenError: it is more than may be sent with one.
        """
        if not credential.digest:
            return
        limit = self._security.requests_per_second_per_key
        early = self._keys.take(credential.digest, per_second=limit)
        if early:
            raise TooOftenError(
                f"{limit} requests per second with one key or token",
                setting="requestsPerSecondPerKey",
                early_s=early,
            )
