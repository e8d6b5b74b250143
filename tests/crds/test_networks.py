"""Networks and URLs: what the models take, and that the real API server takes the same."""

import copy
import json

import pytest

from e2e.commands import CommandError
from tests.conftest import Cluster
from tests.crds.test_invalid_manifests import POLICY
from tokenflow_api.pacing_policy import PacingPolicy

URLS = {
    "http://llama:8000": True,
    "https://llm.example.com/openai/v1?x=1": True,
    "http://LLAMA.llm.svc.cluster.local.:80/": True,
    "http://münchen.example": True,
    "http://user:word@llama:8000": True,
    "http://[fd00::1]:8000/": True,
    "http://[::]": True,
    "http://[1:2:3:4:5:6:7:8]": True,
    "http://x:65535": True,
    "http://x:99999": False,
    "http://x:65536": False,
    "http://x:0": False,
    "http://x:": False,
    "http://:80": False,
    "http://x:y": False,
    "http://[::::]": False,
    "http://[1:2:3]": False,
    "http://[fd00::1": False,
    "http://a@b@c": False,
}
CIDRS = {
    "10.0.0.0/8": True,
    "10.1.2.3/8": True,
    "0.0.0.0/0": True,
    "fd00::/8": True,
    "::/0": True,
    "::1/128": True,
    "10.0.0.0/33": False,
    "10.0.0.0/08": False,
    "10.0.0/8": False,
    "256.0.0.1/8": False,
    "010.0.0.0/8": False,
    "::1/129": False,
    "1:2:3/64": False,
    "::ffff:10.0.0.0/104": False,
    "....../1": False,
}
CASES = [("url", *case) for case in URLS.items()] + [("cidr", *case) for case in CIDRS.items()]


def manifest(kind: str, value: str) -> dict[str, object]:
    document = copy.deepcopy(POLICY)
    if kind == "url":
        document["spec"]["gateway"]["upstreams"][0]["url"] = value
    else:
        document["spec"]["security"] = {"allowCIDRs": [value]}
    return document


@pytest.mark.parametrize(("kind", "value", "good"), CASES)
def test_the_models_take_what_can_be(kind: str, value: str, good: bool) -> None:
    document = manifest(kind, value)
    if good:
        PacingPolicy.model_validate(document)
    else:
        with pytest.raises(ValueError, match=r"write a value|write values|match pattern"):
            PacingPolicy.model_validate(document)


@pytest.mark.cluster
@pytest.mark.parametrize(("kind", "value", "good"), CASES)
def test_the_api_server_takes_the_same(crds: Cluster, kind: str, value: str, good: bool) -> None:
    document = json.dumps(manifest(kind, value))
    if good:
        crds.kubectl("apply", "--dry-run=server", "-f", "-", stdin=document)
    else:
        with pytest.raises(CommandError, match=r"spec\.(gateway\.upstreams\[0\]\.url|security\.allowCIDRs)"):
            crds.kubectl("apply", "--dry-run=server", "-f", "-", stdin=document)
