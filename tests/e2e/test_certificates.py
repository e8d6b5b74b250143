import base64
import json
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from e2e.cluster.certificates import Authority, Pair, kubeconfig


def read(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def test_kubernetes_reads_user_and_groups_from_the_subject() -> None:
    subject = read(Authority().issue("system:node:node1", groups=("system:nodes",))).subject
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:node1"]
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]


def test_a_server_is_known_by_names_and_addresses() -> None:
    certificate = read(Authority().issue("kube-apiserver", hosts=("kubernetes", "10.240.0.1")))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.240.0.1"]


def test_a_client_cannot_pose_as_a_server() -> None:
    extensions = read(Authority().issue("user")).extensions
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.SERVER_AUTH not in usages
    assert all(extension.oid != ExtensionOID.SUBJECT_ALTERNATIVE_NAME for extension in extensions)


def test_certificates_stand_on_their_own_authority_alone() -> None:
    authority, another = Authority(), Authority()
    certificate = read(authority.issue("user"))
    certificate.verify_directly_issued_by(read(authority.pair))
    assert certificate.issuer == read(another.pair).subject
    assert not _issued_by(certificate, another)


def test_only_the_owner_reads_a_key(tmp_path: Path) -> None:
    Authority().pair.write(tmp_path, "ca")
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_kubeconfig_holds_all_that_a_client_needs() -> None:
    authority = Authority()
    client = authority.issue("admin")
    document = json.loads(kubeconfig(server="https://10.240.0.1:6443", authority=authority.pair, client=client))
    assert document["clusters"][0]["cluster"]["server"] == "https://10.240.0.1:6443"
    assert base64.b64decode(document["users"][0]["user"]["client-certificate-data"]) == client.certificate


def _issued_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(read(authority.pair))
    except Exception:  # noqa: BLE001 - the kind depends on what OpenSSL finds first
        return False
    return True
