"""Snapshots as they travel."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hintsvc.serving import hint, snapshot
from tokenflow_api.hints import Snapshot
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.view.packed import pack, unpack

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(st.tuples(names, names), unique=True, max_size=8))
def test_a_snapshot_comes_out_as_it_went_in(keys: list[tuple[str, str]]) -> None:
    sent = snapshot(3, *(hint(tenant, path) for tenant, path in keys))
    received = unpack(pack(sent)).snapshot()
    assert sorted(received.hints, key=lambda hint: (hint.tenant, hint.path)) == sorted(
        sent.hints, key=lambda hint: (hint.tenant, hint.path)
    )
    assert received.model_copy(update={"hints": sent.hints}) == sent


def test_a_tenant_is_told_of_its_own_hints_and_of_no_node() -> None:
    document = json.loads(unpack(pack(snapshot())).document({"gold"}, detailed=False))
    assert [(hint["tenant"], hint["path"]) for hint in document["hints"]] == [
        ("gold", "*"),
        ("gold", "llama/192.0.2.0/24"),
    ]
    assert Snapshot.model_validate(document).nodes == []
    assert "nodes" not in document


def test_roles_are_told_of_nodes() -> None:
    document = unpack(pack(snapshot())).document({"gold", "open"}, detailed=True)
    assert [node.node for node in Snapshot.model_validate_json(document).nodes] == ["n1"]


@pytest.mark.parametrize("data", [b"", b"{}", b"\n\n", b"{}\n{}\n[]", b'[]\n{}\n[["gold","*",1]]', b"\xff\n{}\n[]"])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match="a snapshot cannot be read"):
        unpack(data)
