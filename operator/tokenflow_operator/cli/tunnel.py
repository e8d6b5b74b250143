"""A way from the caller's machine to a policy's hint service.

The API server's own proxy takes the caller's token for itself, so that the hint service would not know who asks. A
port that kubectl forwards carries requests as they are.
"""

import http.client
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tokenflow_api.client_tls import client_context
from tokenflow_operator.cli.kubectl import Kubectl, failure
from tokenflow_operator.errors import ConfigError, HintServiceRefusedError, HintServiceUnreachableError
from tokenflow_operator.problem_documents import words

_START_S: Final = 15.0
_END_S: Final = 5.0
_ANSWER_S: Final = 10.0
_MAX_BYTES: Final = 16 << 20
_FORWARDING: Final = re.compile(rb"127\.0\.0\.1:([0-9]+)")
_OK: Final = 200
_REFUSED: Final = (401, 403)
_LOCALHOST: Final = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class HintServiceAddress:
    """Where a policy's hint service is, and how to know it.

    Attributes:
        host: name within the cluster, which its certificate is for.
        authorities: certificates in PEM to know it by; empty is those of the system.
    """

    service: str
    host: str
    port: int
    tls: bool
    authorities: str


@contextmanager
def forwarded(kubectl: Kubectl, address: HintServiceAddress) -> Iterator[int]:
    """Forward a free port of this machine to the service while the context lasts.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: no pod of the service can be reached.
    """
    target = ("port-forward", f"service/{address.service}", f":{address.port}", f"--address={_LOCALHOST}")
    try:
        child = subprocess.Popen(  # noqa: S603 - kubectl, with arguments and no shell
            kubectl.command(*target), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise ConfigError("there is no kubectl on the PATH: install it") from error
    with child:
        try:
            yield _port(child)
        finally:
            _end(child)


def _port(child: subprocess.Popen[bytes]) -> int:
    """Return the port that kubectl says it forwards."""
    assert child.stdout is not None  # noqa: S101 - it was asked for above
    assert child.stderr is not None  # noqa: S101 - likewise
    deadline = time.monotonic() + _START_S
    while (left_s := deadline - time.monotonic()) > 0:
        if not select.select([child.stdout], [], [], left_s)[0]:
            break
        line = child.stdout.readline()
        if found := _FORWARDING.search(line):
            return int(found.group(1))
        if not line:
            raise failure(child.stderr.read().decode(errors="replace"))
    raise HintServiceUnreachableError(f"kubectl port-forward did not begin within {_START_S:g} s")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(timeout=_END_S)
    except subprocess.TimeoutExpired:
        child.kill()


def get(port: int, path: str, address: HintServiceAddress, *, token: str) -> bytes:
    """Return what the hint service answers.

    Args:
        port: of this machine, forwarded to the service.
        path: to read.
        address: of the service.
        token: by which it knows the caller.

    Raises:
        HintServiceRefusedError: it does not accept the token.
        HintServiceUnreachableError: it did not answer in time, or with a problem.
    """
    try:
        status, body = _exchange(port, path, address, token=token)
    except (OSError, http.client.HTTPException) as error:
        raise HintServiceUnreachableError(f"{address.host}: {str(error) or type(error).__name__}") from error
    if status in _REFUSED:
        raise HintServiceRefusedError(f"{address.host}: {status} {words(body)}")
    if status != _OK:
        raise HintServiceUnreachableError(f"{address.host}: {status} {words(body)}")
    return body


def _exchange(port: int, path: str, address: HintServiceAddress, *, token: str) -> tuple[int, bytes]:
    with socket.create_connection((_LOCALHOST, port), timeout=_ANSWER_S) as plain:
        # The certificate is for the service's name, and not for this end of the forwarded port.
        wrap = client_context(address.authorities).wrap_socket if address.tls else None
        connection = http.client.HTTPConnection(address.host, address.port)
        connection.sock = wrap(plain, server_hostname=address.host) if wrap else plain
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(_MAX_BYTES + 1)
        finally:
            connection.close()
    if len(body) > _MAX_BYTES:
        raise HintServiceUnreachableError(f"{address.host}: its answer is above {_MAX_BYTES} bytes")
    return answer.status, body
