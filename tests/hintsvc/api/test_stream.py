"""The stream: both listeners send the same."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hintsvc.serving import API, FAST, KEY, Client, Serving, config, hint, request, serving, snapshot
from tokenflow_hintsvc import metrics

BEARER = f"Authorization: Bearer {KEY}"
STREAM = "/v1/hints/stream"
LISTENERS = pytest.mark.parametrize("name", [API, FAST])


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        running.publish(snapshot())
        yield running


async def follow(served: Serving, name: str, *headers: str) -> Client:
    client = await served.connect(name)
    await client.send(request(STREAM, *headers))
    answer = await client.head()
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    return client


def tenants(event: dict[str, str]) -> set[str]:
    return {hint["tenant"] for hint in json.loads(event["data"])["hints"]}


@LISTENERS
async def test_a_tenant_is_sent_its_own_hints_in_order(served: Serving, name: str) -> None:
    client = await follow(served, name, BEARER)
    seen = []
    for version in (2, 3, 4):
        seen.append(await client.event())
        served.publish(snapshot(version, hint("gold"), hint("silver")))
    assert [(event["event"], event["id"]) for event in seen] == [
        ("snapshot", "1-1"),
        ("snapshot", "1-2"),
        ("snapshot", "1-3"),
    ]
    assert tenants(seen[0]) == {"gold", "open"}
    assert tenants(seen[1]) == {"gold"}
    assert "nodes" not in json.loads(seen[0]["data"])
    await client.close()


@LISTENERS
async def test_a_caller_who_comes_back_is_sent_nothing_twice(served: Serving, name: str) -> None:
    client = await follow(served, name, BEARER, "Last-Event-ID: 1-1")
    assert await client.event() == {"": "keep-alive"}
    served.publish(snapshot(2))
    assert (await client.event())["id"] == "1-2"
    await client.close()
    behind = await follow(served, name, BEARER, "Last-Event-ID: 1-1")
    assert (await behind.event())["id"] == "1-2"
    await behind.close()


@LISTENERS
async def test_a_gateway_is_sent_configs_too(served: Serving, name: str) -> None:
    client = await follow(served, name, f"Authorization: Bearer {served.issuer.token(account='gateway')}")
    first, second = await client.event(), await client.event()
    assert (first["event"], json.loads(first["data"])["generation"]) == ("config", 1)
    assert [node["node"] for node in json.loads(second["data"])["nodes"]] == ["n1"]
    served.apply(config(generation=2))
    changed = await client.event()
    assert (changed["event"], json.loads(changed["data"])["generation"]) == ("config", 2)
    await client.close()


@LISTENERS
async def test_a_stream_ends_with_the_key_that_it_was_opened_with(served: Serving, name: str, tmp_path: Path) -> None:
    client = await follow(served, name, BEARER)
    assert (await client.event())["id"] == "1-1"
    (tmp_path / "gold" / "key").write_text("tfk_another-key")
    served.apply(config(generation=2))
    assert await client.event() == {"end": "of the stream"}
    await client.close()


@LISTENERS
async def test_a_tenant_that_needs_a_key_from_now_on_leaves_the_streams_of_others(served: Serving, name: str) -> None:
    client = await follow(served, name)
    assert tenants(await client.event()) == {"open"}
    served.apply(config(generation=2, tenants=[{"name": "open", "apiKeysSecretRef": {"name": "open-keys"}}]))
    served.publish(snapshot(2))
    event = await client.event()
    while "id" not in event:
        event = await client.event()
    assert tenants(event) == set()
    await client.close()


@LISTENERS
async def test_streams_end_when_the_replica_drains(served: Serving, name: str) -> None:
    client = await follow(served, name, BEARER)
    assert (await client.event())["id"] == "1-1"
    served.service.feed.end()
    assert await client.event() == {"": "draining"}
    assert await client.event() == {"end": "of the stream"}
    await client.close()


@LISTENERS
async def test_a_stream_that_is_opened_too_late_ends_at_once(served: Serving, name: str) -> None:
    early = await served.connect(name)
    served.service.feed.end()
    await early.send(request(STREAM, BEARER))
    assert (await early.head()).status == 200
    event = await early.event()
    while event != {"": "draining"}:
        event = await early.event()
    assert await early.event() == {"end": "of the stream"}
    await early.close()


@LISTENERS
async def test_a_reader_that_rests_misses_snapshots_and_never_lags(served: Serving, name: str) -> None:
    many = [hint("gold", f"llama/{number}") for number in range(50)]
    before = metrics.OVERWRITTEN._value.get()
    narrow = socket.socket()
    # Small buffers: what the reader's own side holds is no lag of the service's.
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", served.ports[name]))
    client = Client(*await asyncio.open_connection(sock=narrow, limit=1024))
    await client.send(request(STREAM, BEARER))
    await client.head()
    for version in range(2, 202):
        served.publish(snapshot(version, *many))
        for _ in range(5):
            await asyncio.sleep(0)
    client.reader._limit = 2**20
    identifiers = [(await client.event())["id"]]
    while identifiers[-1] != "1-201":
        identifiers.append((await client.event())["id"])
    versions = [int(identifier.partition("-")[2]) for identifier in identifiers]
    assert versions == sorted(set(versions))
    assert len(versions) < 20
    assert metrics.OVERWRITTEN._value.get() - before == 201 - len(versions)
    await client.close()
