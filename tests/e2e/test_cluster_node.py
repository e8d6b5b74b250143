import tomllib
from ipaddress import ip_address, ip_network
from itertools import combinations
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from e2e.cluster import node
from e2e.cluster.settings import DNS_SERVICE_ADDRESS, HOST_ADDRESS, POD_CIDR, SERVICE_CIDR, Layout

LAYOUT = Layout(cache=Path("/cache"))


@given(st.integers(min_value=2, max_value=50))
def test_no_two_nodes_share_an_address_or_a_place(count: int) -> None:
    nodes = LAYOUT.nodes(count)
    for of in ("name", "namespace", "address", "pod_cidr", "cgroup", "directory", "containerd_socket"):
        assert len({getattr(n, of) for n in nodes}) == count
    assert ip_address(HOST_ADDRESS) not in {ip_address(n.address) for n in nodes}
    assert all(ip_network(n.pod_cidr).subnet_of(ip_network(POD_CIDR)) for n in nodes)
    assert not any(ip_network(a.pod_cidr).overlaps(ip_network(b.pod_cidr)) for a, b in combinations(nodes, 2))
    assert not ip_network(POD_CIDR).overlaps(ip_network(SERVICE_CIDR))


def test_containerd_is_configured_for_its_own_node() -> None:
    first, second = LAYOUT.nodes(2)
    config = tomllib.loads(node.containerd_config(first))
    assert config["version"] == 3
    assert config["grpc"]["address"] == str(first.containerd_socket)
    assert str(second.directory) not in node.containerd_config(first)


def test_pods_get_addresses_from_their_own_node() -> None:
    (first,) = LAYOUT.nodes(1)
    plugins = node.cni_config(first)["plugins"]
    assert isinstance(plugins, list)
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_the_kubelet_asks_who_calls_and_whether_they_may() -> None:
    (first,) = LAYOUT.nodes(1)
    config = node.kubelet_config(first, authority=LAYOUT.pki / "ca.crt")
    assert config["authentication"] == {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": "/cache/cluster/pki/ca.crt"},
    }
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["clusterDNS"] == [DNS_SERVICE_ADDRESS]
    assert config["cgroupRoot"] == "/tf1"
