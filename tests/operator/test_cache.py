"""The cache's laws: whatever the order of what it is told, it ends with what is newest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_operator.cache import Cache
from tokenflow_operator.keys import OWNER_LABEL
from tokenflow_operator.kube.kinds import CONFIG_MAP, NODE, PACING_POLICY, POD

OWNERS = ("pp.demo", "ta.nodes", "")


def _object(version: int, *, uid: str = "u", name: str = "x", owner: str = "pp.demo", **content: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": {OWNER_LABEL: owner} if owner else {}}, **content}


# The life of the objects of one name: made, changed, deleted, made anew. Versions grow over all of it.
LIVES = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(OWNERS)), min_size=1, max_size=3)


@given(lives=LIVES, last_lives=st.booleans(), data=st.data())
def test_any_order_of_news_ends_in_the_newest_object(
    lives: list[tuple[int, str]], last_lives: bool, data: st.DataObject
) -> None:
    version, news = 0, []
    newest = None
    for number, (changes, owner) in enumerate(lives):
        for _ in range(changes):
            version += 1
            newest = _object(version, uid=f"u{number}", owner=owner, data={"at": str(version)})
            news.append(("put", newest))
        if number < len(lives) - 1 or not last_lives:
            version += 1
            news.append(("drop", _object(version, uid=f"u{number}", owner=owner)))
            newest = None
    # Each is told twice: once by a watch, and once by the answer to a write or by a listing.
    cache = Cache()
    for what, manifest in data.draw(st.permutations(news * 2)):
        (cache.put if what == "put" else cache.drop)(CONFIG_MAP, manifest)
    found = cache.get(CONFIG_MAP, namespace="n", name="x")
    assert (found and found["data"]) == (newest and newest["data"])


NEWS = st.lists(
    st.tuples(
        st.sampled_from(("put", "drop", "retain")),
        st.sampled_from("abc"),
        st.sampled_from("uv"),
        st.sampled_from(OWNERS),
    ),
    max_size=30,
)


@given(NEWS)
def test_the_index_equals_a_scan(news: list[tuple[str, str, str, str]]) -> None:
    cache = Cache()
    for version, (what, name, uid, owner) in enumerate(news, start=1):
        manifest = _object(version, uid=name + uid, name=name, owner=owner)
        if what == "put":
            cache.put(CONFIG_MAP, manifest)
        elif what == "drop":
            cache.drop(CONFIG_MAP, manifest)
        else:
            cache.retain(CONFIG_MAP, {name + uid}, version=version)
        for owner_of_some in OWNERS[:2]:
            scanned = [o for o in cache.all(CONFIG_MAP) if o["metadata"]["labels"].get(OWNER_LABEL) == owner_of_some]
            indexed = list(cache.owned(CONFIG_MAP, namespace="n", owner=owner_of_some))
            assert sorted(o["metadata"]["name"] for o in scanned) == [o["metadata"]["name"] for o in indexed]


def test_a_change_tells_what_was_and_what_is() -> None:
    cache = Cache()
    made = cache.put(CONFIG_MAP, _object(1, data={"a": "1"}))
    changed = cache.put(CONFIG_MAP, _object(2, data={"a": "2"}))
    gone = cache.drop(CONFIG_MAP, _object(3))
    assert made is not None
    assert changed is not None
    assert gone is not None
    assert (made.before, changed.before, gone.after) == (None, made.after, None)
    assert gone.before == changed.after


def test_a_new_version_with_the_same_content_is_no_change() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, _object(1, data={"a": "1"}))
    assert cache.put(CONFIG_MAP, _object(2, data={"a": "1"})) is None
    # It counts as the newest nevertheless.
    assert cache.put(CONFIG_MAP, _object(2, data={"a": "0"})) is None


def test_it_knows_a_version_and_those_before_it_of_the_same_object() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, _object(5, data={"a": "1"}))
    assert cache.knows(CONFIG_MAP, _object(5))
    assert cache.knows(CONFIG_MAP, _object(4))
    assert not cache.knows(CONFIG_MAP, _object(6))
    assert not cache.knows(CONFIG_MAP, _object(5, uid="another"))
    assert not cache.knows(CONFIG_MAP, _object(5, name="y"))


@pytest.mark.parametrize("size", [1, 2000, 100_000])
def test_an_object_of_any_size_comes_back_as_it_was(size: int) -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, _object(1, data={"a": "é" * size}))
    kept = cache.get(CONFIG_MAP, namespace="n", name="x")
    assert kept is not None
    assert kept["data"] == {"a": "é" * size}
    assert cache.put(CONFIG_MAP, _object(2, data={"a": "é" * size})) is None


def test_a_listing_forgets_what_it_does_not_show_and_keeps_what_came_after_it() -> None:
    cache = Cache()
    for version, name in ((1, "gone"), (2, "stays"), (9, "came later")):
        cache.put(CONFIG_MAP, _object(version, uid=name, name=name))
    changes = cache.retain(CONFIG_MAP, {"stays"}, version=5)
    assert [change.before["metadata"]["name"] for change in changes if change.before] == ["gone"]
    assert {name for _, name in cache.names(CONFIG_MAP)} == {"stays", "came later"}
    # A watch that lags behind does not bring it back.
    assert cache.put(CONFIG_MAP, _object(1, uid="gone", name="gone")) is None


def test_an_object_that_lost_its_label_comes_back_when_it_has_it_again() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, _object(1))
    cache.drop(CONFIG_MAP, _object(2, owner=""))
    assert cache.put(CONFIG_MAP, _object(1)) is None
    assert cache.put(CONFIG_MAP, _object(3)) is not None
    # What is told late of the time without it changes nothing.
    assert cache.drop(CONFIG_MAP, _object(2, owner="")) is None
    assert len(list(cache.owned(CONFIG_MAP, namespace="n", owner="pp.demo"))) == 1


def test_an_object_that_only_seemed_to_be_gone_comes_back_with_the_next_listing() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, _object(1))
    gone = _object(1)
    del gone["metadata"]["resourceVersion"]
    assert cache.drop(CONFIG_MAP, gone) is not None
    assert cache.put(CONFIG_MAP, _object(1)) is not None


def _node(*, heartbeat: str, ready: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat, "lastTransitionTime": "t"}
    return {"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"conditions": [condition], "images": [{"names": ["a"]}]}}


def test_a_nodes_heartbeat_is_no_change_and_its_failure_is() -> None:
    cache = Cache()
    cache.put(NODE, _object(1, **_node(heartbeat="1")))
    assert cache.put(NODE, _object(2, **_node(heartbeat="2"))) is None
    assert cache.put(NODE, _object(3, **_node(heartbeat="3", ready="Unknown"))) is not None


def test_of_a_pod_is_kept_what_tells_how_it_fares() -> None:
    pod = {
        "spec": {"nodeName": "node1", "containers": [{"name": "a", "image": "i", "env": [{"name": "SECRET"}]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    cache = Cache()
    cache.put(POD, _object(1, **pod))
    kept = cache.get(POD, namespace="n", name="x")
    assert kept is not None
    assert kept["spec"] == {"nodeName": "node1", "containers": [{"name": "a", "image": "i"}]}
    assert kept["status"] == {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize("subresource", ["status", ""])
def test_of_managed_fields_only_the_times_of_our_status_writes_are_kept(subresource: str) -> None:
    entry = {"manager": "tokenflow-operator", "subresource": subresource, "time": "t", "fieldsV1": {"f:status": {}}}
    policy = _object(1)
    policy["metadata"]["managedFields"] = [entry, {**entry, "manager": "kubectl"}]
    cache = Cache()
    cache.put(PACING_POLICY, policy)
    kept = cache.get(PACING_POLICY, namespace="n", name="x")
    assert kept is not None
    ours = [{"manager": "tokenflow-operator", "subresource": "status", "time": "t"}]
    assert kept["metadata"]["managedFields"] == (ours if subresource else [])
