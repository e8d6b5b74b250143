"""Where runtime configs come from: a file, and an API server that speaks as the real one does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.hintsvc.sources.support import FakeApiServer
from tests.hintsvc.support import runtime
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.errors import SourceError
from tokenflow_hintsvc.sources.api_server import ApiServer
from tokenflow_hintsvc.sources.config_map import ConfigMapSource
from tokenflow_hintsvc.sources.file import FileSource
from tokenflow_hintsvc.sources.follow import follow


def event(kind: str, generation: int, *, padding: int = 0) -> bytes:
    data = {"runtime.json": runtime(generation=generation).model_dump_json()}
    noise = {"annotations": {"noise": "x" * padding}}
    return json.dumps({"type": kind, "object": {"metadata": noise, "data": data}}).encode() + b"\n"


@asynccontextmanager
async def watching(api: FakeApiServer, directory: Path) -> AsyncIterator[ConfigMapSource]:
    (directory / "token").write_text("the-token\n")
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/llm/configmaps", api.answer)
    async with TestServer(app) as running:
        server = ApiServer(url=str(running.make_url("")).rstrip("/"), token_file=directory / "token", authorities=None)
        yield ConfigMapSource(server=server, namespace="llm", name="demo-runtime")


async def becomes(configuration: Configuration, generation: int) -> None:
    async with asyncio.timeout(30):
        arrived = asyncio.Event()
        configuration.on_change(lambda config: arrived.set() if config.generation == generation else None)
        current = configuration.current
        if current is None or current.generation != generation:
            await arrived.wait()


async def test_the_watch_brings_each_change(tmp_path: Path) -> None:
    whole = event("MODIFIED", 2, padding=300_000)
    api = FakeApiServer([event("ADDED", 1), whole[:1000], whole[1000:], event("DELETED", 3)])
    async with watching(api, tmp_path) as source:
        configuration = Configuration()
        following = asyncio.create_task(follow(configuration, source))
        await becomes(configuration, 2)
        following.cancel()
    (request,) = api.requests
    assert request.headers["Authorization"] == "Bearer the-token"
    assert dict(request.query) == {
        "watch": "true",
        "fieldSelector": "metadata.name=demo-runtime",
        "timeoutSeconds": "60",
    }


async def test_a_watch_that_ends_or_breaks_off_begins_anew(tmp_path: Path) -> None:
    gone = json.dumps({"type": "ERROR", "object": {"message": "too old resource version"}}).encode() + b"\n"
    api = FakeApiServer([event("ADDED", 1)], [event("ADDED", 1), gone], [b"no json\n"], [event("ADDED", 2)])
    async with watching(api, tmp_path) as source:
        configuration = Configuration()
        following = asyncio.create_task(follow(configuration, source))
        await becomes(configuration, 2)
        following.cancel()
    assert len(api.requests) == 4


async def test_a_refusal_says_so_in_the_api_servers_words(tmp_path: Path) -> None:
    api = FakeApiServer([b'{"message": "configmaps is forbidden"}'], status=403)
    async with watching(api, tmp_path) as source:
        with pytest.raises(SourceError, match=r"watching configmaps llm/demo-runtime: 403 .*configmaps is forbidden"):
            _ = [document async for document in source.documents()]


async def test_an_api_server_out_of_reach_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    server = ApiServer(url="http://127.0.0.1:9", token_file=tmp_path / "token", authorities=None)
    source = ConfigMapSource(server=server, namespace="llm", name="demo-runtime")
    with pytest.raises(SourceError, match="ClientConnectorError"):
        _ = [document async for document in source.documents()]


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}, "https://10.96.0.1:443"),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, "https://[fd00::1]:6443"),
        ({}, "https://kubernetes.default.svc:443"),
    ],
)
def test_the_pods_environment_names_the_api_server(environment: dict[str, str], url: str) -> None:
    assert ApiServer.of_this_pod(environment).url == url


async def test_a_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    configuration = Configuration()
    following = asyncio.create_task(follow(configuration, FileSource(file)))
    file.write_text(runtime(generation=1).model_dump_json())
    await becomes(configuration, 1)
    file.write_text(runtime(generation=2).model_dump_json())
    await becomes(configuration, 2)
    file.unlink()
    following.cancel()
    assert configuration.current is not None
