"""Where the operator is measured: a control plane of its own, fake nodes, and one who answers for hint services."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.operator.plane import Plane, plane
from e2e.bench.operator.subject import LEASE, SYSTEM_NAMESPACE
from e2e.bench.programs import Program, await_port, running
from e2e.cluster import binaries, kwok
from e2e.cluster.settings import cache
from tokenflow_operator.kube.kinds import LEASE as LEASES
from tokenflow_operator.plan import names

POOL_LABEL: Final = "pool"
_PER_REQUEST: Final = 100
_READY_S: Final = 180.0
_LOCALHOST: Final = "127.0.0.1 localhost\n::1 localhost\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A control plane with fake nodes.

    Attributes:
        directory: for files and logs.
        hint_services: address of the loopback device at which those of all policies answer.
        hosts: what an operator takes for /etc/hosts, so that it finds them.
    """

    directory: Path
    plane: Plane
    hint_services: str
    hosts: Path

    def add_nodes(self, count: int, *, pools: int = 1) -> None:
        """Add fake nodes, which belong to pools in turn by the label ``POOL_LABEL``.

        Raises:
            BenchError: they are not ready in time.
        """
        nodes = [kwok.node(number, labels={POOL_LABEL: str(number % pools)}) for number in range(count)]
        for first in range(0, count, _PER_REQUEST):
            self._create(nodes[first : first + _PER_REQUEST])
        deadline = time.monotonic() + _READY_S
        while (ready := self._ready_nodes()) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"{ready} of {count} fake nodes are ready after {_READY_S:.0f} s")
            time.sleep(1)

    def _ready_nodes(self) -> int:
        status = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
        return self.plane.kubectl("get", "nodes", "-o", f"jsonpath={status}").split().count("True")

    def add_namespaces(self, *namespaces: str) -> None:
        """Add namespaces."""
        self._create([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces])

    def add_lease(self) -> None:
        """Add the Lease, which nobody holds yet, that comes with an installation."""
        metadata = {"name": LEASE, "namespace": SYSTEM_NAMESPACE}
        self._create([{"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": {}}])

    def know(self, policies: Sequence[tuple[str, str]]) -> None:
        """Let operators that start from now on find the hint services of policies, by namespace and name."""
        services = [f"{names.hintsvc(name)}.{namespace}.svc" for namespace, name in policies]
        self.hosts.write_text("".join([_LOCALHOST, *(f"{self.hint_services} {service}\n" for service in services)]))

    def _create(self, manifests: Sequence[object]) -> None:
        self.plane.kubectl(
            "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        )


@contextmanager
def site() -> Iterator[Site]:
    """Bring everything up, and take it away when the block is left; the logs stay where it fails."""
    directory = Path(tempfile.mkdtemp(prefix="tf-bench-"))
    programs = binaries.build_all(cache(), report=print)
    # The port is what the operator asks at, so that each site has an address of its own.
    address = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with plane(directory / "plane", binaries=programs) as control:
        standin = Program(
            command=[
                *(sys.executable, "-m", "e2e.bench.operator.standin", "--kubeconfig", str(control.layout.kubeconfig)),
                *("--address", address, "--port", str(names.HINT_PORT)),
            ],
            log=directory / "standin.log",
        )
        hosts = directory / "hosts"
        hosts.write_text(_LOCALHOST)
        place = Site(directory=directory, plane=control, hint_services=address, hosts=hosts)
        place.add_namespaces(SYSTEM_NAMESPACE)
        place.add_lease()
        with running(standin):
            standin.start()
            await_port(names.HINT_PORT, standin, address=address)
            yield place
    shutil.rmtree(directory)
