from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube
from tokenflow_operator.plan import EventType, Note
from tokenflow_operator.recorder import Recorder

DEMO = Key(kind="PacingPolicy", namespace="default", name="demo")
NOTE = Note(type=EventType.WARNING, reason="NoLeader", action="Judge", message="no replica leads")


class EventServer:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.refuse = False

    async def create(self, request: web.Request) -> web.Response:
        if self.refuse:
            return web.json_response({"message": "etcd is read-only"}, status=500)
        self.events.append(await request.json())
        return web.json_response({})


@pytest.fixture
def server() -> EventServer:
    return EventServer()


@pytest.fixture
async def kube(server: EventServer) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_post("/apis/events.k8s.io/v1/namespaces/default/events", server.create)
    async with (
        TestServer(app) as running,
        ApiClient(Configuration(host=str(running.make_url("")).rstrip("/"))) as client,
    ):
        yield Kube(client)


async def test_the_same_words_are_written_once_in_ten_minutes(kube: Kube, server: EventServer) -> None:
    now = [0.0]
    recorder = Recorder(kube=kube, instance="me", clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 599.0, 601.0):
        await recorder.record(DEMO, "u", NOTE)
    assert len(server.events) == 2
    (event, _) = server.events
    assert (event["type"], event["reason"], event["regarding"]["uid"]) == ("Warning", "NoLeader", "u")


async def test_another_resource_has_events_of_its_own(kube: Kube, server: EventServer) -> None:
    recorder = Recorder(kube=kube, instance="me")
    await recorder.record(DEMO, "u", NOTE)
    await recorder.record(DEMO, "v", NOTE)
    assert len({event["metadata"]["name"] for event in server.events}) == 2


async def test_an_event_that_was_not_taken_is_tried_again_next_time(kube: Kube, server: EventServer) -> None:
    recorder = Recorder(kube=kube, instance="me")
    server.refuse = True
    await recorder.record(DEMO, "u", NOTE)
    server.refuse = False
    await recorder.record(DEMO, "u", NOTE)
    assert len(server.events) == 1


async def test_a_note_keeps_within_what_the_api_takes(kube: Kube, server: EventServer) -> None:
    long = Note(type=EventType.NORMAL, reason="Applied", action="Apply", message="é" * 2000)
    await Recorder(kube=kube, instance="me").record(DEMO, "u", long)
    assert len(server.events[0]["note"].encode()) <= 1024
