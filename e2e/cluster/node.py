"""A node: a containerd, a kubelet and a kube-proxy in namespaces of their own."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from e2e.cluster import cgroups, processes
from e2e.cluster.network import inside
from e2e.cluster.settings import CLUSTER_DOMAIN, DNS_SERVICE_ADDRESS, PAUSE_IMAGE, POD_CIDR, Layout, Node

OWN_PLACES: Final = (
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/lib/tokenflow",
    "/var/log/containers",
    "/var/log/pods",
)
"""Directories where a node's programs write whatever they are told, so that nodes must not share them."""
_MAKE_OWN: Final = """
set -e
for place in $PLACES; do
  mkdir -p "$OWN$place" "$place"
  mount --bind "$OWN$place" "$place"
done
# A kubelet whose root is not shared binds it onto itself while it is already making sockets there.
mkdir -p "$KUBELET_ROOT"
mount --bind "$KUBELET_ROOT" "$KUBELET_ROOT"
mount --make-rshared "$KUBELET_ROOT"
exec "$@"
"""


def containerd_config(node: Node) -> str:
    """Return containerd's configuration, as TOML."""
    runtime = "io.containerd.cri.v1.runtime"
    return f"""version = 3
root = "{node.directory}/containerd"
state = "{node.directory}/containerd-state"

[grpc]
  address = "{node.containerd_socket}"

# Its socket has one place on a machine, whichever node it belongs to.
[plugins."io.containerd.nri.v1.nri"]
  disable = true

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
  Root = "{node.directory}/runc"

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


def start(node: Node, layout: Layout) -> int:
    """Start the node's containerd, wait until it listens, and return its process id.

    It gets a mount namespace in which the node has ``OWN_PLACES`` to itself: a kubelet deletes the logs
    of pods that it does not know, and refuses to start where another one's device-plugin socket is.
    All mounts of the node go with the last process in that namespace.

    Raises:
        ClusterError: it does not listen.
    """
    (node.directory / "cni").mkdir(parents=True, exist_ok=True)
    (node.directory / "cni" / "10-tokenflow.conflist").write_text(json.dumps(cni_config(node)))
    config = node.directory / "containerd.toml"
    config.write_text(containerd_config(node))
    places = [
        f"PLACES={' '.join(OWN_PLACES)}",
        f"OWN={node.directory / 'own'}",
        f"KUBELET_ROOT={node.kubelet_root}",
    ]
    pid = _start(
        node,
        layout,
        ["env", *places, "unshare", "--mount", "sh", "-c", _MAKE_OWN, "sh"],
        "containerd",
        *("--config", str(config)),
    )
    log = layout.logs / f"{node.name}-containerd.log"
    processes.wait_for(f"containerd of {node.name}", node.containerd_socket.exists, timeout_s=20.0, hint=f"read {log}")
    return pid


def join(node: Node, layout: Layout, *, containerd: int) -> None:
    """Start the node's kubelet and kube-proxy; the node registers itself.

    Args:
        node: the node.
        layout: where everything goes.
        containerd: process id of the node's containerd, whose mounts the kubelet shares.
    """
    cgroups.make(node)
    (node.directory / "resolv.conf").write_text("")
    config = node.directory / "kubelet.json"
    config.write_text(json.dumps(kubelet_config(node, authority=layout.pki / "ca.crt")))
    beside = ["nsenter", f"--mount=/proc/{containerd}/ns/mnt"]
    _start(
        node,
        layout,
        beside,
        "kubelet",
        *("--config", str(config), "--kubeconfig", str(node.directory / "kubeconfig")),
        *("--root-dir", str(node.kubelet_root), "--cert-dir", str(node.directory / "kubelet-pki")),
        *("--hostname-override", node.name, "--node-ip", node.address),
    )
    _start(
        node,
        layout,
        beside,
        "kube-proxy",
        *("--kubeconfig", str(layout.pki / "proxy.kubeconfig"), "--hostname-override", node.name),
        *("--proxy-mode=nftables", f"--cluster-cidr={POD_CIDR}", "--conntrack-max-per-core=0"),
        *("--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
    )


def _start(node: Node, layout: Layout, enter: Sequence[str], program: str, *arguments: str) -> int:
    """Start a program as if on a machine called like the node, and return its process id."""
    named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', node.name]
    command = inside(node.namespace, *named, *enter, str(layout.binaries / program), *arguments)
    return processes.start(
        command,
        state=layout.state,
        log=layout.logs / f"{node.name}-{program}.log",
        env={"PATH": f"{layout.binaries}:{os.environ['PATH']}"},
    )
