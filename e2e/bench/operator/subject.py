"""The operator under test: a process of its own, and what it says of itself."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from e2e.bench.errors import BenchError
from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, running
from tokenflow_operator.settings import Identity, Images, Installation

SYSTEM_NAMESPACE: Final = "tokenflow-system"
LEASE: Final = "tokenflow-operator"
_IMAGE: Final = "tokenflow/fake:1"
INSTALLATION: Final = Installation(
    images=Images(agent=_IMAGE, hintsvc=_IMAGE, redis=_IMAGE),
    identity=Identity(namespace=SYSTEM_NAMESPACE, service_account="tokenflow-operator"),
)
"""What the operator is told when it starts."""
ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""As its image sets it."""
_READY_S: Final = 60.0
_ASK_S: Final = 5.0
_AGAIN_S: Final = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An operator.

    Attributes:
        program: its process.
        port: of its probes.
        metrics_port: of its metrics.
    """

    program: Program
    port: int
    metrics_port: int

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series of a metric.

        Raises:
            BenchError: it does not answer.
        """
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.metrics_port}/metrics", timeout=_ASK_S) as answer:
                page = answer.read().decode()
        except OSError as error:
            raise BenchError(f"the operator's metrics cannot be read: {error}: read {self.program.log}") from error
        families = text_string_to_metric_families(page)
        return [(s.labels, s.value) for family in families for s in family.samples if s.name == name]

    def total(self, name: str) -> float:
        """Return the sum of all series of a metric."""
        return sum(value for _, value in self.samples(name))

    def wait_ready(self) -> None:
        """Wait until it has listed all resources.

        Raises:
            BenchError: it does not in time, or has ended.
        """
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            _ = self.program.pid
            try:
                with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/readyz", timeout=_ASK_S):
                    return
            except (urllib.error.URLError, TimeoutError):
                time.sleep(_AGAIN_S)
        raise BenchError(f"the operator is not ready after {_READY_S:.0f} s: read {self.program.log}")


def operator(directory: Path, *, kubeconfig: Path, hosts: Path, flags: Sequence[str] = ()) -> Subject:
    """Return an operator that looks after all namespaces, not started yet.

    Args:
        directory: for its log and token.
        kubeconfig: its credentials.
        hosts: what it takes for /etc/hosts, in a mount namespace of its own.
        flags: others of its command line.
    """
    token = directory / "token"
    token.write_text("token")
    port, metrics_port = free_port(), free_port()
    command = [
        *("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)),
        *(sys.executable, "-m", "tokenflow_operator", "--kubeconfig", str(kubeconfig)),
        *("--port", str(port), "--metrics-port", str(metrics_port), "--token-file", str(token)),
        *("--agent-image", _IMAGE, "--hintsvc-image", _IMAGE, "--redis-image", _IMAGE),
        *("--pod-namespace", SYSTEM_NAMESPACE, "--lease-name", LEASE, *flags),
    ]
    program = Program(command=command, log=directory / "operator.log", env=ALLOCATOR)
    return Subject(program=program, port=port, metrics_port=metrics_port)


@contextmanager
def at_work(subject: Subject) -> Iterator[Subject]:
    """Run an operator until the block is left."""
    with running(subject.program):
        subject.program.start()
        yield subject
