"""Keeping the cache like an API that fails, restarts, forgets versions and learns new kinds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from tokenflow_operator import follow
from tokenflow_operator.cache import Cache
from tokenflow_operator.feed import Feed
from tokenflow_operator.follow import Follower, Reach
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.kinds import CONFIG_MAP, PACING_POLICY, PROMETHEUS_RULE
from tokenflow_operator.workqueue import WorkQueue

DEMO = Key(kind="PacingPolicy", namespace="n", name="demo")


def _object(name: str, version: int, **content: Any) -> dict[str, Any]:
    labels = {"tokenflow.io/owner": "pp.demo"}
    metadata = {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, **content}


class FakeApi:
    """As much of an API server as lists, watches and discovers."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"pacingpolicies": {"demo": _object("demo", 1, spec={})}}
        self.served = {"monitoring.coreos.com": False}
        self.status: dict[str, int] = {}
        self.too_old: set[str] = set()
        self.lists: list[str] = []
        self.whole_lists: list[str] = []
        self.watches: list[tuple[str, str]] = []
        self.streams: dict[str, web.StreamResponse] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rsplit("/", 1)[-1]
        if plural == "v1" or plural.startswith("v1beta"):
            return self._group(request.path)
        if status := self.status.get(plural):
            return web.json_response({"message": "as the test wants it"}, status=status)
        if "watch" in request.query:
            return await self._watch(request, plural)
        self.lists.append(plural)
        items: list[dict[str, Any]] | None = list(self.objects.get(plural, {}).values())
        if "PartialObjectMetadataList" in request.headers["Accept"]:
            items = [{"metadata": item["metadata"]} for item in items] or None
        else:
            self.whole_lists.append(plural)
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    def _group(self, path: str) -> web.Response:
        if not self.served.get(path.split("/")[-2]):
            return web.json_response({"message": "no such group"}, status=404)
        return web.json_response({"resources": [{"name": "prometheusrules"}]})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        self.watches.append((plural, request.query["resourceVersion"]))
        if plural in self.too_old:
            self.too_old.discard(plural)
            return web.json_response({"message": "too old"}, status=410)
        response = web.StreamResponse()
        await response.prepare(request)
        self.streams[plural] = response
        self._ends[plural] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ends[plural].wait(), int(request.query["timeoutSeconds"]))
        finally:
            if self.streams.get(plural) is response:
                del self.streams[plural]
        return response

    async def tell(self, plural: str, type_: str, manifest: dict[str, Any]) -> None:
        event = json.dumps({"type": type_, "object": manifest}).encode()
        await self.streams[plural].write(event + b"\n")

    def end(self, plural: str) -> None:
        """End a watch in good order, and so free its connection for the next request."""
        self._ends[plural].set()

    def cut(self, plural: str) -> None:
        """Break a watch off as a network does."""
        transport = self.streams[plural]._req.transport
        assert transport is not None
        transport.abort()


class Followed:
    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue()
        self.heartbeat = Heartbeat()

    def queued(self) -> set[Key]:
        """Return what was queued since the last time, and forget it."""
        keys = set()
        while (key := self.queue.take()) is not None:
            keys.add(key)
            self.queue.done(key)
        return keys

    def config(self, name: str = "a") -> dict[str, Any] | None:
        return self.cache.get(CONFIG_MAP, namespace="n", name=name)


async def eventually(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(api: FakeApi, *, resync_s: float = 300.0) -> AsyncIterator[Followed]:
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", api.handle)
    followed = Followed(api)
    async with TestServer(app) as server:
        configuration = Configuration(host=str(server.make_url("")).rstrip("/"))
        async with ApiClient(configuration) as client:
            follower = Follower(
                kube=Kube(client),
                feed=Feed(followed.cache, followed.queue),
                heartbeat=followed.heartbeat,
                reach=Reach(namespace="n", nodes=False, resync_s=resync_s),
            )
            task = asyncio.create_task(follower.run())
            try:
                yield followed
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.wait([task])


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


async def test_nothing_is_queued_before_all_kinds_have_been_listed(api: FakeApi) -> None:
    api.status["deployments"] = 403
    async with following(api) as followed:
        await eventually(lambda: "configmaps" in api.streams and "daemonsets" in api.streams)
        assert followed.queued() == set()
        assert not followed.heartbeat.ready
        api.status.clear()
        await eventually(lambda: followed.heartbeat.ready)
        assert followed.queued() == {DEMO}


async def test_what_a_watch_tells_is_known_and_queued(api: FakeApi) -> None:
    async with following(api) as followed:
        await eventually(lambda: followed.heartbeat.ready and "configmaps" in api.streams)
        followed.queued()
        await api.tell("configmaps", "ADDED", _object("a", 11, data={"k": "v"}))
        await eventually(followed.config)
        assert followed.queued() == {DEMO}
        await api.tell("configmaps", "DELETED", _object("a", 12))
        await eventually(lambda: not followed.config())
        assert followed.queued() == {DEMO}


async def test_a_watch_that_breaks_is_taken_up_where_it_ended(api: FakeApi) -> None:
    async with following(api) as followed:
        await eventually(lambda: "configmaps" in api.streams)
        await api.tell("configmaps", "ADDED", _object("a", 11))
        await eventually(followed.config)
        api.cut("configmaps")
        await eventually(lambda: ("configmaps", "11") in api.watches)
        assert api.lists.count("configmaps") == 1


async def test_an_event_that_breaks_off_in_the_middle_is_told_anew(api: FakeApi) -> None:
    async with following(api) as followed:
        await eventually(lambda: "configmaps" in api.streams)
        await api.streams["configmaps"].write(b'{"type": "ADD')
        api.end("configmaps")
        await eventually(lambda: len([1 for plural, _ in api.watches if plural == "configmaps"]) == 2)
        await eventually(lambda: "configmaps" in api.streams)
        await api.tell("configmaps", "ADDED", _object("a", 11))
        await eventually(followed.config)


@pytest.mark.parametrize("how", ["event", "status"])
async def test_a_version_that_is_too_old_is_met_by_a_listing_that_shows_what_was_missed(api: FakeApi, how: str) -> None:
    api.objects["configmaps"] = {"a": _object("a", 1), "b": _object("b", 2)}
    async with following(api) as followed:
        await eventually(lambda: followed.heartbeat.ready and "configmaps" in api.streams)
        followed.queued()
        del api.objects["configmaps"]["a"]
        api.version = 20
        if how == "event":
            await api.tell("configmaps", "ERROR", {"kind": "Status", "code": 410, "message": "too old"})
        else:
            api.too_old.add("configmaps")
            api.cut("configmaps")
        await eventually(lambda: ("configmaps", "20") in api.watches)
        assert followed.config("a") is None
        assert followed.config("b") is not None
        assert followed.queued() == {DEMO}


async def test_an_api_that_is_away_or_throttles_is_waited_for(api: FakeApi) -> None:
    async with following(api) as followed:
        await eventually(lambda: "configmaps" in api.streams)
        api.status["configmaps"] = 503
        api.cut("configmaps")
        await asyncio.sleep(0.3)
        api.status["configmaps"] = 429
        await asyncio.sleep(0.3)
        api.status.clear()
        await eventually(lambda: "configmaps" in api.streams)
        await api.tell("configmaps", "ADDED", _object("a", 11))
        await eventually(followed.config)


async def test_what_no_watch_told_is_found_by_the_resync_and_all_is_looked_at(api: FakeApi) -> None:
    async with following(api, resync_s=2.0) as followed:
        await eventually(lambda: followed.heartbeat.ready)
        followed.queued()
        api.objects["configmaps"] = {"a": _object("a", 11)}
        api.version = 11
        await eventually(followed.config)
        await eventually(lambda: DEMO in followed.queued())


async def test_the_resync_reads_again_only_what_is_not_known(api: FakeApi) -> None:
    api.objects["configmaps"] = {"a": _object("a", 1, data={"k": "v"})}
    async with following(api, resync_s=2.0) as followed:
        await eventually(lambda: api.lists.count("configmaps") == 2)
        assert api.whole_lists.count("configmaps") == 1
        api.objects["configmaps"] = {"a": _object("a", 11, data={"k": "other"})}
        api.version = 11
        await eventually(lambda: (followed.config() or {}).get("data") == {"k": "other"})
        assert api.whole_lists.count("configmaps") == 2


async def test_the_resync_looks_at_each_resource_once_in_a_period_one_after_the_other(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[tuple[float, str]] = []
    monkeypatch.setattr(Feed, "look_again", lambda _, key: looked_at.append((time.monotonic(), key.name)))
    api.objects["pacingpolicies"] = {name: _object(name, 1, spec={}) for name in ("a", "b", "c", "d")}
    async with following(api, resync_s=1.0):
        await eventually(lambda: len(looked_at) >= 4)
    times, names = zip(*looked_at[:4], strict=True)
    assert sorted(names) == ["a", "b", "c", "d"]
    # A period is no shorter than 0.8 s, and a sleep no shorter than it was asked for.
    assert all(later - earlier > 0.19 for earlier, later in pairwise(times))


async def test_a_kind_that_is_installed_later_is_noticed_and_so_is_its_end(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenflow_operator.discovery.PERIOD_S", 0.05)
    async with following(api) as followed:
        await eventually(lambda: followed.heartbeat.ready)
        assert followed.cache.served == frozenset()
        followed.queued()
        api.served["monitoring.coreos.com"] = True
        await eventually(lambda: followed.cache.served)
        assert followed.cache.served == {PROMETHEUS_RULE}
        assert followed.queued() == {DEMO}
        await eventually(lambda: "prometheusrules" in api.streams)
        api.served["monitoring.coreos.com"] = False
        await eventually(lambda: not followed.cache.served)
        assert followed.queued() == {DEMO}


async def test_an_optional_kind_that_may_not_be_read_is_done_without(api: FakeApi) -> None:
    api.served["monitoring.coreos.com"] = True
    api.status["prometheusrules"] = 403
    async with following(api) as followed:
        await eventually(lambda: followed.heartbeat.ready)
        assert followed.cache.served == frozenset()
        assert followed.queued() == {DEMO}


async def test_an_optional_kind_that_is_broken_is_not_waited_for(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_operator.discovery.PERIOD_S", 0.05)
    api.served["monitoring.coreos.com"] = True
    api.status["prometheusrules"] = 500
    async with following(api) as followed:
        await eventually(lambda: followed.heartbeat.ready)
        assert followed.cache.served == frozenset()
        assert followed.queued() == {DEMO}
        api.status.clear()
        await eventually(lambda: followed.cache.served)
        assert followed.queued() == {DEMO}


async def test_our_own_resources_are_listed_and_left_for_kopf_to_watch(api: FakeApi) -> None:
    async with following(api) as followed:
        await eventually(lambda: followed.heartbeat.ready)
        assert followed.cache.names(PACING_POLICY) == [("n", "demo")]
        assert "pacingpolicies" not in {plural for plural, _ in api.watches}


async def test_a_part_that_dies_of_a_defect_takes_the_whole_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(follow.Follower, "_look_again", broken)
    heartbeat = Heartbeat()
    cache: Cache = Cache()
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as client:
        follower = Follower(
            kube=Kube(client),
            feed=Feed(cache, WorkQueue[Key]()),
            heartbeat=heartbeat,
            reach=Reach(namespace="n", nodes=False, resync_s=300.0),
        )
        with pytest.raises(ZeroDivisionError):
            await follower.run()
