import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_operator.plan.drift import holds

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_what_was_asked_for_holds(intent: Any) -> None:
    assert holds(intent, copy.deepcopy(intent))


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), JSON)
def test_what_others_add_is_no_drift(intent: dict[str, Any], extra: Any) -> None:
    assert holds(intent, {**intent, "added-by-another": extra})


@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=3), st.data())
def test_what_is_taken_away_is_drift(intent: dict[str, Any], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(intent)))
    assert not holds(intent, {key: value for key, value in intent.items() if key != gone})


@given(st.dictionaries(st.text(max_size=5), LEAVES, min_size=1, max_size=3), LEAVES, st.data())
def test_what_is_changed_is_drift(intent: dict[str, Any], other: Any, data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(sorted(intent)))
    assert holds(intent, {**intent, changed: other}) == (intent[changed] == other)


def test_a_container_added_by_another_is_no_drift_and_a_changed_one_is() -> None:
    mine = {"containers": [{"name": "a", "image": "a:1"}]}
    assert holds(mine, {"containers": [{"name": "sidecar"}, {"name": "a", "image": "a:1"}]})
    assert not holds(mine, {"containers": [{"name": "a", "image": "a:2"}]})


def test_a_subject_added_to_a_role_binding_is_drift() -> None:
    mine = {"subjects": [{"kind": "ServiceAccount", "name": "a"}]}
    assert not holds(mine, {"subjects": [*mine["subjects"], {"kind": "User", "name": "mallory"}]})


@pytest.mark.parametrize(("mine", "other", "same"), [("1000m", "1", True), ("0.5", "500m", True), ("1", "2", False)])
def test_quantities_are_compared_by_amount(mine: str, other: str, same: bool) -> None:
    assert holds({"limits": {"cpu": mine}}, {"limits": {"cpu": other}}) is same


def test_a_quantity_in_a_notation_of_its_own_is_drift() -> None:
    assert not holds({"limits": {"memory": "1k"}}, {"limits": {"memory": "1e3"}})


def test_the_same_text_elsewhere_is_no_quantity() -> None:
    assert not holds({"value": "1000m"}, {"value": "1"})


def test_an_empty_selector_that_is_put_in_another_place_is_drift() -> None:
    mine = {"ingress": [{"from": [{"namespaceSelector": {}}]}]}
    assert not holds(mine, {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]})


def test_an_owner_added_by_another_is_no_drift() -> None:
    mine = {"ownerReferences": [{"uid": "a", "controller": True}]}
    assert holds(mine, {"ownerReferences": [*mine["ownerReferences"], {"uid": "b"}]})
