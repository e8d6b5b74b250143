"""Where callers ask from."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.pacing_policy import Security
from tokenflow_api.serving.networks import MAX_REMEMBERED, Networks

PROXIED = Networks(
    Security.model_validate({"allowCIDRs": ["192.0.2.0/24", "2001:db8::/32"], "trustedProxyCIDRs": ["10.0.0.0/8"]})
)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address", "allowed"),
    [
        ("192.0.2.7", "", "192.0.2.7", True),
        ("198.51.100.1", "", "198.51.100.1", False),
        ("::ffff:192.0.2.7", "", "192.0.2.7", True),
        ("2001:db8::1", "", "2001:db8::1", True),
        # Nobody but a trusted proxy is believed.
        ("198.51.100.1", "192.0.2.7", "198.51.100.1", False),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7", True),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7", True),
        # From the right, through trusted proxies, to the first that is none: what stands left of it is hearsay.
        ("10.0.0.1", "192.0.2.7, 198.51.100.1, 10.0.0.2", "198.51.100.1", False),
        ("10.0.0.1", "198.51.100.1, 192.0.2.7,10.0.0.2", "192.0.2.7", True),
        # Without an address a proxy speaks for itself.
        ("10.0.0.1", "", "10.0.0.1", False),
        ("10.0.0.1", "unknown", "10.0.0.1", False),
        ("10.0.0.1", "192.0.2.7, unknown, 10.0.0.2", "10.0.0.2", False),
        ("", "", "", False),
        ("nonsense", "192.0.2.7", "", False),
    ],
)
def test_the_address_is_the_nearest_that_can_be_believed(
    peer: str, forwarded_for: str, address: str, allowed: bool
) -> None:
    origin = PROXIED.origin(peer=peer, forwarded_for=forwarded_for)
    assert (origin.address, origin.allowed) == (address, allowed)


def test_without_a_list_everyone_may_come() -> None:
    assert Networks(Security()).origin(peer="198.51.100.1", forwarded_for="").allowed


def test_a_caller_in_ipv6_form_is_its_plain_address() -> None:
    networks = Networks(Security.model_validate({"allowCIDRs": ["192.0.2.7/24"]}))
    assert networks.origin(peer="::ffff:192.0.2.9", forwarded_for="").allowed
    assert not networks.origin(peer="::ffff:192.0.3.7", forwarded_for="").allowed


def test_one_customers_ipv6_addresses_count_as_one() -> None:
    clients = {PROXIED.origin(peer=f"2001:db8::{last}", forwarded_for="").client for last in ("1", "2", "ffff")}
    assert clients == {"2001:db8::/64"}


def test_what_is_remembered_is_bounded() -> None:
    networks = Networks(Security())
    for number in range(MAX_REMEMBERED + 10):
        networks.origin(peer=str(IPv4Address(number)), forwarded_for="")
    assert len(networks._remembered) <= 10_000


@given(
    st.one_of(st.text(), st.integers(0, 2**128 - 1).map(IPv6Address).map(str)),
    st.one_of(st.text(), st.lists(st.integers(0, 2**32 - 1).map(IPv4Address).map(str)).map(", ".join)),
)
def test_only_addresses_within_the_list_are_allowed(peer: str, forwarded_for: str) -> None:
    origin = PROXIED.origin(peer=peer, forwarded_for=forwarded_for)
    assert not origin.allowed or origin.address.startswith(("192.0.2.", "2001:db8:"))
