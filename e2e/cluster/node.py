"""A node: a containerd, a kubelet and a kube-proxy in namespaces of their own."""

import json
import os
from pathlib import Path
from typing import Final

from e2e.cluster import processes
from e2e.cluster.network import inside
from e2e.cluster.settings import CLUSTER_DOMAIN, DNS_SERVICE_ADDRESS, PAUSE_IMAGE, POD_CIDR, Layout, Node

CGROUPS: Final = Path("/sys/fs/cgroup")
_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")


def hierarchies() -> list[Path]:
    """Return the roots of all cgroup hierarchies: one on a v2 machine, one per controller on others."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted({entry.resolve() for entry in CGROUPS.iterdir() if entry.is_dir()})


def containerd_config(node: Node) -> str:
    """Return containerd's configuration, as TOML."""
    runtime = "io.containerd.cri.v1.runtime"
    return f"""version = 3
root = "{node.directory}/containerd"
state = "{node.directory}/containerd-state"

[grpc]
  address = "{node.containerd_socket}"

[plugins."{runtime}"]
  # The machine may lack CAP_SYS_RESOURCE, which lower scores need.
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true

[plugins."{runtime}".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{node.directory}/cni"

[plugins."{runtime}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."{runtime}".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"
"""


def cni_config(node: Node) -> dict[str, object]:
    """Return how pods get their addresses."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": node.pod_cidr}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": f"{node.directory}/cni-addresses",
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "tokenflow", "plugins": [bridge, portmap]}


def kubelet_config(node: Node, *, authority: Path) -> dict[str, object]:
    """Return the kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "nodeStatusUpdateFrequency": "2s",
        "resolvConf": str(node.directory / "resolv.conf"),
        "tlsCertFile": str(node.directory / "kubelet.crt"),
        "tlsPrivateKeyFile": str(node.directory / "kubelet.key"),
    }


def start_containerd(node: Node, layout: Layout) -> None:
    """Start the node's containerd and wait until it listens.

    Raises:
        ClusterError: it did not.
    """
    (node.directory / "cni").mkdir(parents=True, exist_ok=True)
    (node.directory / "cni" / "10-tokenflow.conflist").write_text(json.dumps(cni_config(node)))
    config = node.directory / "containerd.toml"
    config.write_text(containerd_config(node))
    log = layout.logs / f"{node.name}-containerd.log"
    _start(node, layout, "containerd", "--config", str(config))
    processes.wait_for(f"containerd of {node.name}", node.containerd_socket.exists, timeout_s=20.0, hint=f"read {log}")


def start_kubelet(node: Node, layout: Layout) -> None:
    """Start the node's kubelet and kube-proxy; the node registers itself."""
    make_cgroups(node)
    (node.directory / "resolv.conf").write_text("")
    config = node.directory / "kubelet.json"
    config.write_text(json.dumps(kubelet_config(node, authority=layout.pki / "ca.crt")))
    _start(
        node,
        layout,
        "kubelet",
        *("--config", str(config), "--kubeconfig", str(node.directory / "kubeconfig")),
        *("--root-dir", str(node.directory / "kubelet"), "--cert-dir", str(node.directory / "kubelet-pki")),
        *("--hostname-override", node.name, "--node-ip", node.address),
    )
    _start(
        node,
        layout,
        "kube-proxy",
        *("--kubeconfig", str(layout.pki / "proxy.kubeconfig"), "--hostname-override", node.name),
        *("--proxy-mode=nftables", f"--cluster-cidr={POD_CIDR}", "--conntrack-max-per-core=0"),
        *("--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
    )


def make_cgroups(node: Node) -> None:
    """Make the node's top cgroup in every hierarchy; the kubelet makes those below."""
    for hierarchy in hierarchies():
        group = hierarchy / node.cgroup
        group.mkdir(exist_ok=True)
        for name in _INHERITED:
            if (hierarchy / name).exists() and (group / name).exists():
                (group / name).write_text((hierarchy / name).read_text())


def cgroup_directories() -> list[Path]:
    """Return the cgroups of all nodes and what is below, the deepest first."""
    tops = [
        top
        for hierarchy in hierarchies()
        for top in hierarchy.glob("tf[0-9]*")
        if top.name.removeprefix("tf").isdigit()
    ]
    found = [Path(directory) for top in tops for directory, _, _ in os.walk(top)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def pids_in_cgroups() -> list[int]:
    """Return the ids of all processes that run in pods of the nodes."""
    files = [directory / "cgroup.procs" for directory in cgroup_directories()]
    return sorted({int(line) for file in files if file.exists() for line in file.read_text().split()})


def _start(node: Node, layout: Layout, program: str, *arguments: str) -> None:
    """Start a program as if on a machine called like the node."""
    named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', node.name]
    command = inside(node.namespace, *named, str(layout.binaries / program), *arguments)
    processes.start(
        command,
        state=layout.state,
        log=layout.logs / f"{node.name}-{program}.log",
        env={"PATH": f"{layout.binaries}:{os.environ['PATH']}"},
    )
