"""Certificates, by real handshakes over memory."""

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.serving.authority import Authority
from tokenflow_api.serving.errors import CertificateError
from tokenflow_api.serving.figures import Figures
from tokenflow_api.serving.tls import Certificates


def certificates_of(directory: Path) -> Certificates:
    return Certificates(directory, figures=Figures(CollectorRegistry()))


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the certificate of the server as the client sees it, and the other way round."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[1].getpeercert() or {}, ends[0].getpeercert() or {}


def common_name(certificate: dict[str, Any]) -> str:
    return str(dict(part[0] for part in certificate["subject"])["commonName"])


def test_a_new_certificate_serves_the_connections_that_follow(tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "first")
    certificates = certificates_of(tmp_path)
    assert common_name(shake(certificates.context, authority.client())[0]) == "first"
    assert not certificates.refresh()
    authority.issue(tmp_path, "second")
    assert certificates.refresh()
    seen = shake(certificates.context, authority.client())[0]
    assert common_name(seen) == "second"
    assert certificates.ends_unix_ms == 1000 * ssl.cert_time_to_seconds(seen["notAfter"])


def test_a_secret_that_may_not_be_read_leaves_the_last_good_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    authority = Authority("ca")
    authority.issue(tmp_path, "first")
    certificates = certificates_of(tmp_path)
    authority.issue(tmp_path, "second")
    monkeypatch.setattr(Path, "is_file", forbidden)
    assert not certificates.refresh()
    assert "Permission denied" in certificates.refused


def test_a_broken_certificate_leaves_the_last_good_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "first")
    certificates = certificates_of(tmp_path)
    (tmp_path / "tls.key").write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    with caplog.at_level(logging.ERROR):
        assert not certificates.refresh()
    assert "refused" in caplog.text
    assert "secret" not in " ".join(str(record.__dict__) for record in caplog.records)
    assert common_name(shake(certificates.context, authority.client())[0]) == "first"
    assert certificates.refused.startswith(f"{tmp_path}: ")
    authority.issue(tmp_path, "second")
    assert certificates.refresh()
    assert certificates.refused == ""


def test_without_a_certificate_and_its_key_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"holds no tls\.crt and no tls\.key to serve with"):
        certificates_of(tmp_path)
    Authority("ca").issue(tmp_path, "server")
    (tmp_path / "tls.key").unlink()
    with pytest.raises(CertificateError, match=r"holds no tls\.key to serve with"):
        certificates_of(tmp_path)


def test_the_key_of_another_certificate_is_told_as_such(tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "server")
    certificate = (tmp_path / "tls.crt").read_bytes()
    authority.issue(tmp_path, "other")
    (tmp_path / "tls.crt").write_bytes(certificate)
    with pytest.raises(CertificateError, match=r"tls\.key is not the key of tls\.crt"):
        certificates_of(tmp_path)


def test_client_certificates_are_verified_once_there_is_an_authority(tmp_path: Path) -> None:
    authority, clients = Authority("ca"), Authority("clients")
    authority.issue(tmp_path / "server", "server")
    clients.issue(tmp_path / "agent", "agent")
    certificates = certificates_of(tmp_path / "server")
    assert not certificates.mutual
    (tmp_path / "server" / "client-ca.crt").write_bytes(clients.pem)
    assert certificates.refresh()
    assert certificates.mutual
    assert common_name(shake(certificates.context, authority.client(tmp_path / "agent"))[1]) == "agent"
    assert shake(certificates.context, authority.client())[1] == {}
    Authority("strangers").issue(tmp_path / "stranger", "agent")
    with pytest.raises(ssl.SSLError):
        shake(certificates.context, authority.client(tmp_path / "stranger"))


def test_an_authority_that_was_replaced_is_trusted_no_more(tmp_path: Path) -> None:
    authority, before, after = Authority("ca"), Authority("before"), Authority("after")
    authority.issue(tmp_path / "server", "server")
    before.issue(tmp_path / "agent", "agent")
    (tmp_path / "server" / "client-ca.crt").write_bytes(before.pem)
    certificates = certificates_of(tmp_path / "server")
    (tmp_path / "server" / "client-ca.crt").write_bytes(after.pem + b"\n")
    assert certificates.refresh()
    with pytest.raises(ssl.SSLError):
        shake(certificates.context, authority.client(tmp_path / "agent"))


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    authority = Authority("ca")
    authority.issue(tmp_path, "server")
    assert certificates_of(tmp_path).context.minimum_version is ssl.TLSVersion.TLSv1_2
