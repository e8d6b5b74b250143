"""A control plane alone, on the loopback device: real, whole, and nobody else's."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, running
from e2e.cluster import audit, kwok
from e2e.cluster.certificates import Authority, kubeconfig, service_account_key, write_secret
from e2e.cluster.settings import SERVICE_CIDR, Layout
from e2e.commands import CommandError, run

OPERATOR: Final = "tokenflow-operator"
"""User that the operator under test is."""
_ADVERTISED: Final = "10.255.255.1"
"""The API server refuses a loopback address here; nobody asks at this one."""
_READY_S: Final = 60.0
_AGAIN_S: Final = 0.1
_UNHURRIED: Final = ("--kube-api-qps=1000", "--kube-api-burst=2000")
"""Keeps Kubernetes' own programs from holding themselves back: that is not what is measured."""
_ROOT: Final = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """A control plane, and kwok for its nodes.

    Attributes:
        layout: where its files are.
        binaries: where kubectl is.
        etcd: keeps everything; its HTTP gateway is at ``etcd_url``.
        api: the API server.
        operator_kubeconfig: credentials that may do everything, and that the API server treats like anybody's.
    """

    layout: Layout
    binaries: Path
    etcd: Program
    etcd_url: str
    api: Program
    operator_kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator.

        Raises:
            CommandError: it failed.
        """
        command = [str(self.binaries / "kubectl"), "--kubeconfig", str(self.layout.kubeconfig), *arguments]
        return run(command, stdin=stdin, timeout_s=60.0)

    def wait_ready(self) -> None:
        """Wait until the API server serves.

        Raises:
            BenchError: it does not in time.
        """
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            _ = self.api.pid
            with contextlib.suppress(CommandError):
                self.kubectl("get", "--raw=/readyz", "--request-timeout=2s")
                return
            time.sleep(_AGAIN_S)
        raise BenchError(f"the API server is not ready after {_READY_S:.0f} s: read {self.api.log}")


@contextmanager
def plane(directory: Path, *, binaries: Path) -> Iterator[Plane]:
    """Run a control plane with our CRDs and no nodes.

    Args:
        directory: for its files and logs.
        binaries: where its programs are.

    Raises:
        BenchError: it did not come up.
    """
    layout = Layout(cache=directory)
    layout.logs.mkdir(parents=True)
    port, etcd_port, peer_port = free_port(), free_port(), free_port()
    etcd_url, peer_url = f"http://{LOOPBACK}:{etcd_port}", f"http://{LOOPBACK}:{peer_port}"
    operator_kubeconfig = _write_credentials(layout, server=f"https://{LOOPBACK}:{port}")

    def program(name: str, *arguments: str) -> Program:
        return Program(command=[str(binaries / name), *arguments], log=layout.logs / f"{name}.log")

    etcd = program(
        "etcd",
        *("--data-dir", str(layout.state / "etcd"), "--listen-client-urls", etcd_url, "--unsafe-no-fsync"),
        *("--advertise-client-urls", etcd_url, "--listen-peer-urls", peer_url),
        *("--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"default={peer_url}"),
    )
    api = program("kube-apiserver", *_api_flags(layout, port=port, etcd_url=etcd_url))
    controllers = program("kube-controller-manager", *_controller_flags(layout))
    scheduler = program(
        "kube-scheduler",
        *(f"--kubeconfig={_scheduler_kubeconfig(layout)}", "--leader-elect=false", "--secure-port=0", *_UNHURRIED),
    )
    nodes = Program(
        command=kwok.command(binaries=binaries, kubeconfig=layout.kubeconfig, directory=layout.state),
        log=layout.logs / "kwok.log",
    )
    made = Plane(
        layout=layout,
        binaries=binaries,
        etcd=etcd,
        etcd_url=etcd_url,
        api=api,
        operator_kubeconfig=operator_kubeconfig,
    )
    with running(etcd, api, controllers, scheduler, nodes):
        etcd.start()
        api.start()
        made.wait_ready()
        for later in (controllers, scheduler, nodes):
            later.start()
        made.kubectl("apply", "--server-side", *(f"--filename={crd}" for crd in (_ROOT / "crds").glob("*.yaml")))
        made.kubectl("create", "clusterrolebinding", OPERATOR, "--clusterrole=cluster-admin", f"--user={OPERATOR}")
        made.kubectl("wait", "--for=condition=Established", "crd", "--all")
        yield made


def _write_credentials(layout: Layout, *, server: str) -> Path:
    authority = Authority()
    authority.pair.write(layout.pki, "ca")
    service_account_key().write(layout.pki, "service-account")
    authority.issue("kube-apiserver", hosts=("localhost", LOOPBACK)).write(layout.pki, "apiserver")
    operator_kubeconfig = layout.state / "operator.kubeconfig"
    for path, user, groups in (
        (layout.kubeconfig, "tokenflow-admin", ("system:masters",)),
        (_controllers_kubeconfig(layout), "system:kube-controller-manager", ()),
        (_scheduler_kubeconfig(layout), "system:kube-scheduler", ()),
        # One of system:masters would pass by the API server's fair queues.
        (operator_kubeconfig, OPERATOR, ()),
    ):
        client = authority.issue(user, groups=groups)
        write_secret(path, kubeconfig(server=server, authority=authority.pair, client=client).encode())
    return operator_kubeconfig


def _controllers_kubeconfig(layout: Layout) -> Path:
    return layout.pki / "controller-manager.kubeconfig"


def _scheduler_kubeconfig(layout: Layout) -> Path:
    return layout.pki / "scheduler.kubeconfig"


def _api_flags(layout: Layout, *, port: int, etcd_url: str) -> tuple[str, ...]:
    pki = layout.pki
    return (
        *(f"--bind-address={LOOPBACK}", f"--advertise-address={_ADVERTISED}", f"--secure-port={port}"),
        *(f"--etcd-servers={etcd_url}", f"--service-cluster-ip-range={SERVICE_CIDR}", "--authorization-mode=RBAC"),
        f"--client-ca-file={pki / 'ca.crt'}",
        *(f"--tls-cert-file={pki / 'apiserver.crt'}", f"--tls-private-key-file={pki / 'apiserver.key'}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-account.crt'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        *audit.flags(layout),
    )


def _controller_flags(layout: Layout) -> tuple[str, ...]:
    pki = layout.pki
    return (
        *(f"--kubeconfig={_controllers_kubeconfig(layout)}", "--use-service-account-credentials=true"),
        *("--leader-elect=false", "--secure-port=0"),
        *(f"--root-ca-file={pki / 'ca.crt'}", f"--service-account-private-key-file={pki / 'service-account.key'}"),
        # The leases of fake nodes are renewed seldom.
        *("--node-monitor-grace-period=500s", *_UNHURRIED),
    )
