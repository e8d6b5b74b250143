"""Network namespaces for the control plane and for each node, joined by a bridge.

Nothing leaves the machine. The machine itself gets a leg on the bridge, so that kubectl and tests
reach the API server, the pods and the services without entering a namespace.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from e2e.cluster.errors import PrerequisiteError
from e2e.cluster.settings import (
    BRIDGE,
    CONTROL_ADDRESS,
    CONTROL_NAMESPACE,
    HOST_ADDRESS,
    HOST_VETH,
    POD_CIDR,
    SERVICE_CIDR,
    Node,
)
from e2e.commands import run

NETNS: Final = Path("/var/run/netns")
_PACKAGES: Final = {
    "ip": "iproute2",
    "sysctl": "procps",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "runc": "runc",
    "buildah": "buildah",
    "cc": "gcc libc6-dev",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}


def check_packages() -> None:
    """Make sure that the programs of the distribution are there.

    Raises:
        PrerequisiteError: some are missing; the message has the command that installs them.
    """
    missing = [package for program, package in _PACKAGES.items() if not shutil.which(program)]
    if missing:
        raise PrerequisiteError(f"programs are missing: run 'apt-get install -y {' '.join(sorted(missing))}'")


def inside(namespace: str, *command: str) -> list[str]:
    """Return ``command`` as run in a network namespace.

    nsenter rather than ``ip netns exec``, which mounts a new /sys and so hides the cgroups.
    """
    return ["nsenter", f"--net={NETNS / namespace}", *command]


def create(nodes: Sequence[Node]) -> None:
    """Make the namespaces, the bridge and the routes.

    Raises:
        CommandError: the kernel refused a step.
    """
    _namespace(CONTROL_NAMESPACE)
    _all(
        inside(CONTROL_NAMESPACE, "ip", "link", "add", BRIDGE, "type", "bridge"),
        inside(CONTROL_NAMESPACE, "ip", "addr", "add", f"{CONTROL_ADDRESS}/24", "dev", BRIDGE),
        inside(CONTROL_NAMESPACE, "ip", "link", "set", BRIDGE, "up"),
        inside(CONTROL_NAMESPACE, "ip", "route", "add", "default", "dev", BRIDGE),
    )
    _leg(HOST_VETH, HOST_ADDRESS, namespace=None)
    _all(["ip", "route", "replace", POD_CIDR, "via", CONTROL_ADDRESS])
    for node in nodes:
        _namespace(node.namespace)
        _leg("eth0", node.address, namespace=node.namespace)
        _all(
            inside(node.namespace, "ip", "route", "add", "default", "via", CONTROL_ADDRESS),
            inside(CONTROL_NAMESPACE, "ip", "route", "add", node.pod_cidr, "via", node.address),
        )
    if nodes:
        # Any node's kube-proxy can send packets on to a service: the machine's, and the API server's to webhooks.
        _all(
            ["ip", "route", "replace", SERVICE_CIDR, "via", nodes[0].address],
            inside(CONTROL_NAMESPACE, "ip", "route", "add", SERVICE_CIDR, "via", nodes[0].address),
        )


def delete() -> None:
    """Take away all namespaces of the cluster; the links and routes go with them."""
    # The kernel frees a namespace some time after its deletion; the name of this link is needed at once.
    if Path("/sys/class/net", HOST_VETH).exists():
        _all(["ip", "link", "delete", HOST_VETH])
    _all(*(["ip", "netns", "delete", namespace] for namespace in _existing()))


def _existing() -> Iterable[str]:
    if not NETNS.is_dir():
        return []
    names = [entry.name for entry in NETNS.iterdir()]
    return [n for n in names if n == CONTROL_NAMESPACE or (n.startswith("tfn") and n[3:].isdigit())]


def _namespace(name: str) -> None:
    _all(
        ["ip", "netns", "add", name],
        inside(name, "ip", "link", "set", "lo", "up"),
        inside(name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"),
    )


def _leg(device: str, address: str, *, namespace: str | None) -> None:
    """Give a namespace, or the machine, a leg on the bridge."""
    peer = f"leg{address.rsplit('.', 1)[1]}"
    home = namespace or "1"
    enter = (lambda *command: inside(namespace, *command)) if namespace else (lambda *command: list(command))
    _all(
        inside(CONTROL_NAMESPACE, "ip", "link", "add", peer, "type", "veth", "peer", "name", f"tmp{peer}"),
        inside(CONTROL_NAMESPACE, "ip", "link", "set", peer, "master", BRIDGE, "up"),
        inside(CONTROL_NAMESPACE, "ip", "link", "set", f"tmp{peer}", "netns", home),
        enter("ip", "link", "set", f"tmp{peer}", "name", device),
        enter("ip", "addr", "add", f"{address}/24", "dev", device),
        enter("ip", "link", "set", device, "up"),
    )


def _all(*commands: Sequence[str]) -> None:
    for command in commands:
        run(command, timeout_s=10.0)
