"""Where a caller asks from, and whether that is a network that clients may come from."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from tokenflow_api.pacing_policy import Security

MAX_FORWARDED: Final = 512
"""Characters of X-Forwarded-For that are looked at, from the right."""
MAX_REMEMBERED: Final = 10_000
_IPV6_CLIENT_BITS: Final = 64
"""One customer commonly holds a whole /64."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a caller asks from.

    Attributes:
        address: behind trusted proxies; empty where nobody can tell.
        client: the address, or its /64 with IPv6: what rate limits go by.
        allowed: whether clients may come from there.
    """

    address: str
    client: str
    allowed: bool


class Networks:
    """The networks of a policy."""

    def __init__(self, security: Security) -> None:
        self._allowed = _networks(security.allow_cidrs) if security.allow_cidrs else None
        self._proxies = _networks(security.trusted_proxy_cidrs)
        self._remembered: dict[tuple[str, str], Origin] = {}

    def origin(self, *, peer: str, forwarded_for: str) -> Origin:
        """Return where somebody asks from.

        Args:
            peer: address at the other end of the connection; empty with a socket that has none.
            forwarded_for: the X-Forwarded-For header, which counts only from trusted proxies.
        """
        key = (peer, forwarded_for[-MAX_FORWARDED:] if self._proxies else "")
        known = self._remembered.get(key)
        if known is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[key] = self._judge(_client(key, self._proxies))
        return known

    def _judge(self, address: Address | None) -> Origin:
        if address is None:
            return Origin(address="", client="", allowed=self._allowed is None)
        client = str(address)
        if address.version == 6:  # noqa: PLR2004 - the protocol's own number
            client = str(IPv6Network((int(address), _IPV6_CLIENT_BITS), strict=False))
        allowed = self._allowed is None or _within(address, self._allowed)
        return Origin(address=str(address), client=client, allowed=allowed)


def _client(key: tuple[str, str], proxies: list[Network]) -> Address | None:
    """Walk from the peer through trusted proxies, from right to left, to the first address that is none."""
    peer, forwarded_for = key
    address = _address(peer)
    for hop in reversed(forwarded_for.split(",")):
        if address is None or not _within(address, proxies):
            break
        found = _address(hop.strip())
        if found is None:
            break
        address = found
    return address


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _networks(cidrs: Iterable[str]) -> list[Network]:
    return [ip_network(cidr, strict=False) for cidr in cidrs]
