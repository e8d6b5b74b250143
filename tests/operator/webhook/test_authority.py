"""Certificates through years of renewals: at no moment is one shown whose authority a caller does not trust."""

import dataclasses
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenflow_operator.webhook.authority import SETTLING, renewed
from tokenflow_operator.webhook.bundle import Bundle

HOST = "tokenflow-operator-webhook.tokenflow-system.svc"
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def proves(certificate: bytes, trusted: bytes, *, host: str = HOST, at: datetime) -> bool:
    """Return whether a caller who trusts those authorities believes the certificate."""
    store = Store(x509.load_pem_x509_certificates(trusted))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(host))
    try:
        verifier.verify(x509.load_pem_x509_certificate(certificate), [])
    except x509.verification.VerificationError:
        return False
    return True


def life(bundle: Bundle, *, days: int, step: timedelta) -> Iterator[tuple[datetime, Bundle]]:
    moment = NOW
    while moment < NOW + timedelta(days=days):
        bundle = renewed(bundle, host=HOST, now=moment)
        yield moment, bundle
        moment += step


def test_the_first_certificate_is_for_the_host_and_lasts_a_month() -> None:
    bundle = renewed(None, host=HOST, now=NOW)
    assert proves(bundle.certificate, bundle.trusted, at=NOW)
    assert proves(bundle.certificate, bundle.trusted, at=NOW + timedelta(days=29))
    assert not proves(bundle.certificate, bundle.trusted, at=NOW + timedelta(days=31))
    assert not proves(bundle.certificate, bundle.trusted, host="other.svc", at=NOW)


def test_nothing_is_renewed_before_it_is_due() -> None:
    bundle = renewed(None, host=HOST, now=NOW)
    assert renewed(bundle, host=HOST, now=NOW + timedelta(days=19)) is bundle
    later = renewed(bundle, host=HOST, now=NOW + timedelta(days=21))
    assert later.certificate != bundle.certificate
    assert later.trusted == bundle.trusted


@given(hours=st.integers(min_value=6, max_value=120))
@settings(max_examples=10, deadline=None)
def test_callers_and_servers_that_lag_behind_always_agree(hours: int) -> None:
    before = renewed(None, host=HOST, now=NOW)
    for moment, bundle in life(before, days=800, step=timedelta(hours=hours)):
        if bundle is not before:
            # A caller who has not heard of this bundle yet, and a server that still shows the one before.
            assert proves(bundle.certificate, before.trusted, at=moment)
            assert proves(before.certificate, bundle.trusted, at=moment)
        before = bundle


def test_a_new_authority_is_trusted_before_it_issues() -> None:
    old = renewed(None, host=HOST, now=NOW)
    begun = NOW + timedelta(days=250)
    old = renewed(old, host=HOST, now=begun - timedelta(days=10))
    both = renewed(old, host=HOST, now=begun)
    assert both.certificate == old.certificate
    assert len(x509.load_pem_x509_certificates(both.trusted)) == 2
    assert renewed(both, host=HOST, now=begun + SETTLING / 2) is both
    new = renewed(both, host=HOST, now=begun + SETTLING)
    assert new.certificate != old.certificate
    assert new.trusted == both.trusted
    assert not proves(new.certificate, old.trusted, at=begun + SETTLING)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"ca.crt": b"x", "ca.key": b"x", "tls.crt": b"x", "tls.key": b""},
        {"ca.crt": b"x", "ca.key": b"x", "tls.crt": b"x", "tls.key": b"x"},
        {"unrelated": b"x"},
    ],
)
def test_what_cannot_be_read_is_made_from_scratch(data: dict[str, bytes]) -> None:
    bundle = renewed(Bundle.of(data), host=HOST, now=NOW)
    assert proves(bundle.certificate, bundle.trusted, at=NOW)


def test_a_certificate_of_somebody_else_is_replaced() -> None:
    bundle, stranger = renewed(None, host=HOST, now=NOW), renewed(None, host=HOST, now=NOW)
    for mixed in (
        dataclasses.replace(bundle, certificate=stranger.certificate, key=stranger.key),
        dataclasses.replace(bundle, key=stranger.key),
        dataclasses.replace(bundle, certificate=bundle.trusted),
        dataclasses.replace(bundle, authority_key=stranger.authority_key),
    ):
        fresh = renewed(mixed, host=HOST, now=NOW)
        assert fresh.certificate != mixed.certificate
        assert proves(fresh.certificate, fresh.trusted, at=NOW)


def test_what_has_ended_while_nobody_looked_is_made_from_scratch() -> None:
    ended = renewed(None, host=HOST, now=NOW)
    later = NOW + timedelta(days=400)
    bundle = renewed(ended, host=HOST, now=later)
    assert proves(bundle.certificate, bundle.trusted, at=later)


def test_another_host_gets_another_certificate_of_the_same_authority() -> None:
    bundle = renewed(None, host=HOST, now=NOW)
    other = renewed(bundle, host="10.240.0.254", now=NOW)
    assert other.trusted == bundle.trusted
    names = x509.load_pem_x509_certificate(other.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name) for name in names.value.get_values_for_type(x509.IPAddress)] == ["10.240.0.254"]


def test_a_bundle_is_stored_and_found_again() -> None:
    bundle = renewed(None, host=HOST, now=NOW)
    assert Bundle.of({**bundle.data, "unrelated": b"x"}) == bundle
    assert set(bundle.data) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert ssl.PEM_cert_to_DER_cert(bundle.certificate.decode())
