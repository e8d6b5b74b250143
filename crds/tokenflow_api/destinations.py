"""Destination classes: the networks that clients are told apart by."""

import ipaddress
from functools import lru_cache
from typing import Final

IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 48


@lru_cache(maxsize=1024)
def destination_class(address: str) -> str:
    """Return the network of ``address``: its /24, or /48 with IPv6.

    An IPv4 address that is mapped into IPv6 counts as what it is.

    Raises:
        ValueError: it is not an IP address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    prefix = IPV4_PREFIX if parsed.version == 4 else IPV6_PREFIX  # noqa: PLR2004 - the protocol's own number
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
