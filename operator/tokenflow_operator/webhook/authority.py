"""The webhook's own certificate authority, and when what it has issued is renewed. No I/O.

Rotation never leaves a caller with an authority that does not know a server's certificate: a new authority is trusted
for ``SETTLING`` beside the old one before it issues anything, and the old one until it ends by itself.
"""

import ipaddress
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tokenflow_operator.webhook.bundle import Bundle

AUTHORITY_LASTS: Final = timedelta(days=365)
SERVING_LASTS: Final = timedelta(days=30)
SETTLING: Final = timedelta(minutes=10)
"""Longer than any replica or API server takes to learn of a new bundle."""
_CLOCK_SKEW: Final = timedelta(minutes=5)
_DUE: Final = 2 / 3
"""Share of its life after which a certificate is renewed."""


def renewed(bundle: Bundle | None, *, host: str, now: datetime) -> Bundle:
    """Return what is to be shared from now on: the same bundle where nothing is due.

    Args:
        bundle: what is shared at present.
        host: name or address by which the API server calls.
        now: the time of day.
    """
    if bundle is None or not _readable(bundle):
        return _from_scratch(host, now=now)
    authorities = x509.load_pem_x509_certificates(bundle.trusted)
    newest = authorities[0]
    if now >= newest.not_valid_after_utc:
        return _from_scratch(host, now=now)
    if _is_due(newest, now):
        certificate, key = _authority(now=now)
        lasting = [old for old in authorities if now < old.not_valid_after_utc]
        return Bundle(
            trusted=_pem(certificate) + b"".join(map(_pem, lasting)),
            authority_key=_key_pem(key),
            certificate=bundle.certificate,
            key=bundle.key,
        )
    serving = x509.load_pem_x509_certificate(bundle.certificate)
    settled = len(authorities) == 1 or now >= newest.not_valid_before_utc + _CLOCK_SKEW + SETTLING
    fits = serving.issuer == newest.subject and _is_for(serving, host) and _opens(bundle.key, serving)
    if not settled or (fits and not _is_due(serving, now)):
        return bundle
    signer = serialization.load_pem_private_key(bundle.authority_key, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        return _from_scratch(host, now=now)
    return _issue(bundle.trusted, newest, signer, host, now=now)


def _readable(bundle: Bundle) -> bool:
    try:
        newest, *_ = x509.load_pem_x509_certificates(bundle.trusted)
        x509.load_pem_x509_certificate(bundle.certificate)
        serialization.load_pem_private_key(bundle.key, password=None)
        return _opens(bundle.authority_key, newest)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _from_scratch(host: str, *, now: datetime) -> Bundle:
    certificate, key = _authority(now=now)
    return _issue(_pem(certificate), certificate, key, host, now=now)


def _authority(*, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities differ in their names, so that a certificate tells by which of them it was issued.
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"tokenflow-webhook-{x509.random_serial_number():x}"[:64])]
    )
    built = _builder(name, name, key, now=now, lasts=AUTHORITY_LASTS)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    built = built.add_extension(_usage(signs_certificates=True), critical=True)
    return built.sign(key, hashes.SHA256()), key


def _issue(
    trusted: bytes, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey, host: str, *, now: datetime
) -> Bundle:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokenflow-webhook")])
    built = _builder(name, issuer.subject, key, now=now, lasts=SERVING_LASTS)
    built = built.add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(_usage(signs_certificates=False), critical=True)
    built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = built.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())
    return Bundle(trusted=trusted, authority_key=_key_pem(issuer_key), certificate=_pem(certificate), key=_key_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begins + (ends - begins) * _DUE


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return _general_name(host) in names


def _opens(key: bytes, certificate: x509.Certificate) -> bool:
    return serialization.load_pem_private_key(key, password=None).public_key() == certificate.public_key()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
