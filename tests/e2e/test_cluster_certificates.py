import json
import ssl
import stat
from pathlib import Path

import pytest

from e2e.cluster.certificates import Authority, Pair, kubeconfig


def handshake(directory: Path, *, authority: Pair, server_name: str) -> dict[str, object]:
    """Let a client that trusts ``authority`` meet a server that shows ``server.crt``, and return what it saw."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.crt", directory / "server.key")
    client = ssl.create_default_context(cadata=authority.certificate.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=server_name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return near.getpeercert() or {}


@pytest.mark.parametrize("name", ["10.240.0.1", "kubernetes.default.svc"])
def test_a_client_that_trusts_the_authority_trusts_its_servers(tmp_path: Path, name: str) -> None:
    authority = Authority()
    authority.issue("kube-apiserver", hosts=("10.240.0.1", "kubernetes.default.svc")).write(tmp_path, "server")
    assert handshake(tmp_path, authority=authority.pair, server_name=name)["subject"]


def test_another_address_or_another_authority_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue("kube-apiserver", hosts=("10.240.0.1",)).write(tmp_path, "server")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        handshake(tmp_path, authority=authority.pair, server_name="10.240.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, authority=Authority().pair, server_name="10.240.0.1")


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    Authority().issue("someone").write(tmp_path, "someone")
    assert stat.S_IMODE((tmp_path / "someone.key").stat().st_mode) == 0o600


def test_a_kubeconfig_names_one_current_context() -> None:
    authority = Authority()
    document = json.loads(
        kubeconfig(server="https://10.240.0.1:6443", authority=authority.pair, client=authority.issue("me"))
    )
    (context,) = [c for c in document["contexts"] if c["name"] == document["current-context"]]
    assert context["context"]["cluster"] in {c["name"] for c in document["clusters"]}
    assert context["context"]["user"] in {u["name"] for u in document["users"]}
