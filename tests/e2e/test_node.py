import json
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from e2e.cluster.node import cni_config, containerd_config, kubelet_config
from e2e.cluster.settings import Node

numbers = st.integers(min_value=1, max_value=50)
STATE = Path("/state")


def texts(value: object) -> set[str]:
    """Return all texts in a document that name something of one node."""
    match value:
        case dict():
            return set().union(*(texts(item) for item in value.values()))
        case list():
            return set().union(*(texts(item) for item in value))
        case str():
            return {value}
        case _:
            return set()


@given(number=numbers, another=numbers)
def test_nodes_share_neither_paths_nor_addresses(number: int, another: int) -> None:
    documents = [
        {
            "containerd": tomllib.loads(containerd_config(node)),
            "cni": cni_config(node),
            "kubelet": kubelet_config(node, authority=Path("/pki/ca.crt")),
        }
        for node in (Node(number=number, state=STATE), Node(number=another, state=STATE))
    ]
    own = [{text for text in texts(document) if str(STATE) in text or "10.2" in text} for document in documents]
    assert own[0]
    assert (own[0] == own[1]) if number == another else not (own[0] & own[1])


def test_the_configuration_is_what_the_kubelet_can_read() -> None:
    config = kubelet_config(Node(number=2, state=STATE), authority=Path("/pki/ca.crt"))
    assert json.loads(json.dumps(config)) == config
    assert config["cgroupRoot"] == "/tf2"
    assert config["containerRuntimeEndpoint"] == "unix:///state/node2/containerd.sock"


def test_containerd_pins_the_pause_image() -> None:
    config = tomllib.loads(containerd_config(Node(number=1, state=STATE)))
    images = config["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"] == "registry.k8s.io/pause:3.10"
