"""Addresses, paths and names that all parts of the cluster agree on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BRIDGE: Final = "k8s0"
CONTROL_NAMESPACE: Final = "tf"
CONTROL_ADDRESS: Final = "10.240.0.1"
HOST_ADDRESS: Final = "10.240.0.254"
HOST_VETH: Final = "tf-host"
API_PORT: Final = 6443
SERVICE_CIDR: Final = "10.96.0.0/16"
API_SERVICE_ADDRESS: Final = "10.96.0.1"
DNS_SERVICE_ADDRESS: Final = "10.96.0.10"
POD_CIDR: Final = "10.244.0.0/16"
CLUSTER_DOMAIN: Final = "cluster.local"
PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10"
MARKER: Final = "TOKENFLOW_CLUSTER_STATE"
"""Environment variable that every process of the cluster carries, naming its state directory."""


def cache() -> Path:
    """Return the directory for what is slow to build, ``TOKENFLOW_CACHE`` or ``~/.cache/tokenflow``."""
    return Path(os.environ.get("TOKENFLOW_CACHE") or Path.home() / ".cache" / "tokenflow").absolute()


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node, known by its number from 1."""

    number: int
    state: Path

    @property
    def name(self) -> str:
        """Name in Kubernetes."""
        return f"node{self.number}"

    @property
    def namespace(self) -> str:
        """Network namespace."""
        return f"tfn{self.number}"

    @property
    def address(self) -> str:
        """Address on the bridge."""
        return f"10.240.0.{10 + self.number}"

    @property
    def pod_cidr(self) -> str:
        """Addresses of its pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def cgroup(self) -> str:
        """Top cgroup of its pods, the same in every hierarchy."""
        return f"tf{self.number}"

    @property
    def directory(self) -> Path:
        """Where the node keeps everything."""
        return self.state / self.name

    @property
    def containerd_socket(self) -> Path:
        """Where its containerd listens."""
        return self.directory / "containerd.sock"

    @property
    def kubelet_root(self) -> Path:
        """Where its kubelet keeps volumes and sockets."""
        return self.directory / "kubelet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the files of a cluster are."""

    cache: Path

    @property
    def state(self) -> Path:
        """Everything that ``down`` removes."""
        return self.cache / "cluster"

    @property
    def binaries(self) -> Path:
        """Programs, kept from one cluster to the next."""
        return self.cache / "bin"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked, one JSON object a line; full files lie beside it."""
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, usable from the machine itself."""
        return self.state / "kubeconfig"

    def nodes(self, count: int) -> list[Node]:
        """Return the first ``count`` nodes."""
        return [Node(number=number, state=self.state) for number in range(1, count + 1)]
