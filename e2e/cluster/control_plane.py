"""etcd, the API server, the controller manager, the scheduler and the cluster's DNS."""

import json

from e2e.cluster import audit, processes
from e2e.cluster.certificates import Authority, kubeconfig, service_account_key, write_secret
from e2e.cluster.network import inside
from e2e.cluster.settings import (
    API_PORT,
    API_SERVICE_ADDRESS,
    CLUSTER_DOMAIN,
    CONTROL_ADDRESS,
    CONTROL_NAMESPACE,
    DNS_SERVICE_ADDRESS,
    POD_CIDR,
    SERVICE_CIDR,
    Layout,
    Node,
)
from e2e.commands import CommandError, run

_READY_TIMEOUT_S = 60.0
SERVER = f"https://{CONTROL_ADDRESS}:{API_PORT}"


def write_credentials(layout: Layout, nodes: list[Node]) -> None:
    """Make the authority and every certificate and kubeconfig of the cluster."""
    authority = Authority()
    authority.pair.write(layout.pki, "ca")
    service_account_key().write(layout.pki, "service-account")
    hosts = (
        *("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}"),
        *("localhost", "127.0.0.1", CONTROL_ADDRESS, API_SERVICE_ADDRESS),
    )
    authority.issue("kube-apiserver", hosts=hosts).write(layout.pki, "apiserver")
    authority.issue("kube-apiserver-kubelet-client", groups=("system:masters",)).write(layout.pki, "kubelet-client")
    users = {
        layout.kubeconfig: ("tokenflow-admin", "system:masters"),
        layout.pki / "controller-manager.kubeconfig": ("system:kube-controller-manager", ""),
        layout.pki / "scheduler.kubeconfig": ("system:kube-scheduler", ""),
        layout.pki / "proxy.kubeconfig": ("system:kube-proxy", "system:node-proxier"),
        **{node.directory / "kubeconfig": (f"system:node:{node.name}", "system:nodes") for node in nodes},
    }
    for path, (user, group) in users.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        client = authority.issue(user, groups=(group,) if group else ())
        write_secret(path, kubeconfig(server=SERVER, authority=authority.pair, client=client).encode())
    for node in nodes:
        authority.issue(node.name, hosts=(node.name, node.address)).write(node.directory, "kubelet")


def start(layout: Layout) -> None:
    """Start etcd and the three control-plane programs, and wait until the API server answers.

    Raises:
        ClusterError: the API server did not become ready.
    """
    _start(
        layout,
        "etcd",
        *("--data-dir", str(layout.state / "etcd"), "--listen-client-urls", "http://127.0.0.1:2379"),
        *("--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380"),
        # Only tests live here: a crash of the machine may lose them.
        "--unsafe-no-fsync",
    )
    pki = layout.pki
    _start(
        layout,
        "kube-apiserver",
        *("--bind-address=0.0.0.0", f"--advertise-address={CONTROL_ADDRESS}", f"--secure-port={API_PORT}"),
        *("--etcd-servers=http://127.0.0.1:2379", f"--service-cluster-ip-range={SERVICE_CIDR}"),
        *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true"),
        # Without it, logs and exec hang on resolving node names.
        "--kubelet-preferred-address-types=InternalIP",
        f"--client-ca-file={pki / 'ca.crt'}",
        *(f"--tls-cert-file={pki / 'apiserver.crt'}", f"--tls-private-key-file={pki / 'apiserver.key'}"),
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--service-account-key-file={pki / 'service-account.crt'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        *audit.flags(layout),
    )
    processes.wait_for(
        "the API server",
        lambda: _answers(layout),
        timeout_s=_READY_TIMEOUT_S,
        hint=f"read {layout.logs / 'kube-apiserver.log'}",
    )
    _start(
        layout,
        "kube-controller-manager",
        *(f"--kubeconfig={pki / 'controller-manager.kubeconfig'}", "--use-service-account-credentials=true"),
        *(f"--root-ca-file={pki / 'ca.crt'}", f"--service-account-private-key-file={pki / 'service-account.key'}"),
        *("--allocate-node-cidrs=false", f"--cluster-cidr={POD_CIDR}", "--leader-elect=false"),
        *("--node-monitor-period=2s", "--node-monitor-grace-period=20s"),
    )
    _start(
        layout,
        "kube-scheduler",
        *(f"--kubeconfig={pki / 'scheduler.kubeconfig'}", "--leader-elect=false"),
    )


def start_dns(layout: Layout) -> None:
    """Start CoreDNS beside the API server, and the service that pods ask."""
    corefile = layout.state / "Corefile"
    corefile.write_text(
        f".:53 {{\n  bind {CONTROL_ADDRESS}\n  errors\n"
        f"  kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{\n    kubeconfig {layout.kubeconfig}\n    pods insecure\n  }}\n"
        "  cache 5\n}\n"
    )
    _start(layout, "coredns", "-conf", str(corefile))
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": DNS_SERVICE_ADDRESS, "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [CONTROL_ADDRESS], "conditions": {"ready": True}}],
    }
    documents = "\n---\n".join(json.dumps(document) for document in (service, endpoints))
    kubectl(layout, "apply", "--server-side", "-f", "-", stdin=documents)


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None, timeout_s: float = 60.0) -> str:
    """Run kubectl as the administrator.

    Raises:
        CommandError: it failed.
    """
    command = [str(layout.binaries / "kubectl"), "--kubeconfig", str(layout.kubeconfig), *arguments]
    return run(command, stdin=stdin, timeout_s=timeout_s)


def _start(layout: Layout, program: str, *arguments: str) -> None:
    command = inside(CONTROL_NAMESPACE, str(layout.binaries / program), *arguments)
    processes.start(command, state=layout.state, log=layout.logs / f"{program}.log")


def _answers(layout: Layout) -> bool:
    try:
        return kubectl(layout, "get", "--raw=/readyz", timeout_s=5.0) == "ok"
    except CommandError:
        # Not yet: the caller waits, and says where to look.
        return False
