"""The way to a hint service: a port that kubectl forwards, and what is asked through it."""

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.operator.cli.stand_in import stand_in
from tests.serving.authority import Authority
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.tunnel import HintServiceAddress, forwarded, get
from tokenflow_operator.errors import HintServiceRefusedError, HintServiceUnreachableError, KubeError

ADDRESS = HintServiceAddress(service="demo-hintsvc", host="demo-hintsvc.llm.svc", port=8080, tls=False, authorities="")


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer known"
        status = int(self.path.strip("/")) if known else 401
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"ok": true}' if status == 200 else b'{"detail": "because"}')

    def log_message(self, *_: object) -> None:
        pass


class Server(HTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that does not trust us goes away in the middle."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    with Server(("127.0.0.1", 0), Answers) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    with serving() as port:
        yield port


def test_an_answer_is_read(port: int) -> None:
    assert get(port, "/200", ADDRESS, token="known") == b'{"ok": true}'


def test_a_token_that_is_not_known_is_refused(port: int) -> None:
    with pytest.raises(HintServiceRefusedError, match=r"demo-hintsvc\.llm\.svc: 401 because"):
        get(port, "/200", ADDRESS, token="other")


def test_a_problem_is_told_in_its_own_words(port: int) -> None:
    with pytest.raises(HintServiceUnreachableError, match="503 because"):
        get(port, "/503", ADDRESS, token="known")


def test_over_tls_the_service_is_known_by_its_name_and_the_policys_authority(tmp_path: Path) -> None:
    authority, other = Authority("ours"), Authority("other")
    authority.issue(tmp_path / "server", "server")
    address = replace(ADDRESS, host="127.0.0.1", tls=True, authorities=authority.pem.decode())
    with serving(authority.server(tmp_path / "server")) as port:
        assert get(port, "/200", address, token="known") == b'{"ok": true}'
        for wrong in (replace(address, host="elsewhere.svc"), replace(address, authorities=other.pem.decode())):
            with pytest.raises(HintServiceUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
                get(port, "/200", wrong, token="known")


def test_who_does_not_listen_is_out_of_reach(unused_tcp_port: int) -> None:
    with pytest.raises(HintServiceUnreachableError, match="refused"):
        get(unused_tcp_port, "/200", ADDRESS, token="known")


def test_the_port_is_the_one_that_kubectl_says_and_kubectl_ends_with_the_context(tmp_path: Path) -> None:
    script = f"echo $$ >{tmp_path}/pid; echo 'Forwarding from 127.0.0.1:4711 -> 8080'; exec sleep 60"
    with stand_in(tmp_path, script), forwarded(Kubectl(), ADDRESS) as port:
        child = int((tmp_path / "pid").read_text())
        assert port == 4711
        os.kill(child, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_service_without_pods_is_told_in_kubectls_words(tmp_path: Path) -> None:
    script = "echo 'error: unable to forward port because pod is not running' >&2; exit 1"
    with (
        stand_in(tmp_path, script),
        pytest.raises(KubeError, match=r"^unable to forward port"),
        forwarded(Kubectl(), ADDRESS),
    ):
        pass
