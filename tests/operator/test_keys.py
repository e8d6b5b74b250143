import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.meta import MAX_RESOURCE_NAME
from tokenflow_operator.keys import Key, owner_of
from tokenflow_operator.plan import names

MAX_LABEL_VALUE = 63
RESOURCE_NAMES = st.from_regex(rf"[a-z0-9]([-a-z0-9]{{0,{MAX_RESOURCE_NAME - 2}}}[a-z0-9])?", fullmatch=True)


@given(kind=st.sampled_from(["PacingPolicy", "TelemetryAgent"]), name=RESOURCE_NAMES)
def test_a_child_leads_back_to_its_owner(kind: str, name: str) -> None:
    key = Key(kind=kind, namespace="n", name=name)
    assert owner_of(namespace="n", label=key.owner_label) == key
    assert len(key.owner_label) <= MAX_LABEL_VALUE


@given(RESOURCE_NAMES)
def test_names_of_children_are_dns_labels(name: str) -> None:
    for child in (names.runtime(name), names.hintsvc(name), names.gateway(name), names.redis(name), names.agent(name)):
        assert len(child) <= MAX_LABEL_VALUE


@pytest.mark.parametrize("label", ["", "demo", "xx.demo", "pp."])
def test_a_label_that_we_never_wrote_is_nobodys(label: str) -> None:
    assert owner_of(namespace="n", label=label) is None
