import json
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from tokenflow_operator import errors
from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.kinds import CONFIG_MAP, PACING_POLICY

Handler = Callable[[web.Request], Awaitable[web.Response]]
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {}}


async def _against(handler: Handler, use: Callable[[Kube], Awaitable[object]]) -> object:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        configuration = Configuration(host=str(server.make_url("")).rstrip("/"))
        async with ApiClient(configuration) as client:
            return await use(Kube(client))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.InvalidError),
        (401, errors.ForbiddenError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (410, errors.GoneError),
        (418, errors.KubeError),
        (422, errors.InvalidError),
        (429, errors.UnavailableError),
        (500, errors.UnavailableError),
        (503, errors.UnavailableError),
    ],
)
async def test_a_refusal_becomes_an_error_of_ours_in_the_servers_words(
    status: int, error: type[errors.KubeError]
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "because"}, status=status)

    with pytest.raises(error, match="because") as caught:
        await _against(refuse, lambda kube: kube.get(CONFIG_MAP, namespace="n", name="a"))
    assert "/api/v1/namespaces/n/configmaps/a" in str(caught.value)


async def test_a_server_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")) as client:
        with pytest.raises(errors.UnavailableError):
            await Kube(client).get(CONFIG_MAP, namespace="n", name="a")


async def test_a_list_is_read_to_its_end_and_its_items_know_their_kind() -> None:
    async def pages(request: web.Request) -> web.Response:
        first = "continue" not in request.query
        assert request.query["labelSelector"] == "a=b"
        name = "first" if first else "second"
        item = {"metadata": {"name": name, "uid": f"uid-{name}"}}
        return web.json_response({"metadata": {"continue": "more"} if first else {}, "items": [item]})

    async def listed(kube: Kube) -> list[tuple[str, str]]:
        found = kube.pages(CONFIG_MAP, namespace="n", labels="a=b")
        return [(item["kind"], item["metadata"]["name"]) async for page in found for item in page.items]

    assert await _against(pages, listed) == [("ConfigMap", "first"), ("ConfigMap", "second")]


async def test_of_a_page_whose_objects_are_known_only_the_metadata_are_read() -> None:
    asked: list[tuple[str, str]] = []

    async def pages(request: web.Request) -> web.Response:
        page, metadata_only = (
            request.query.get("continue", "first"),
            "PartialObjectMetadataList" in request.headers["Accept"],
        )
        asked.append((page, "metadata" if metadata_only else "whole"))
        item = {"metadata": {"name": page, "uid": f"uid-{page}"}, **({} if metadata_only else {"data": {"k": "v"}})}
        following = {"continue": "second"} if page == "first" else {}
        return web.json_response({"metadata": {"resourceVersion": "7", **following}, "items": [item]})

    async def listed(kube: Kube) -> list[tuple[set[str], list[str]]]:
        found = kube.pages(CONFIG_MAP, namespace="n", known=lambda item: item["metadata"]["name"] == "first")
        return [(set(page.uids), [item["data"]["k"] for item in page.items]) async for page in found]

    assert await _against(pages, listed) == [({"uid-first"}, []), ({"uid-second"}, ["v"])]
    assert asked == [("first", "metadata"), ("second", "metadata"), ("second", "whole")]


@pytest.mark.parametrize("force", [False, True])
async def test_apply_is_server_side_under_one_manager(force: bool) -> None:
    async def patch(request: web.Request) -> web.Response:
        assert request.method == "PATCH"
        assert request.path == "/apis/tokenflow.io/v1alpha1/namespaces/n/pacingpolicies/a/status"
        assert dict(request.query) == {"fieldManager": "tokenflow-operator", "force": str(force).lower()}
        assert request.headers["Content-Type"] == "application/apply-patch+yaml"
        return web.json_response(json.loads(await request.text()))

    applied = await _against(patch, lambda kube: kube.apply(PACING_POLICY, CONFIG, subresource="status", force=force))
    assert applied == CONFIG


async def test_only_the_object_that_was_seen_is_deleted() -> None:
    async def delete(request: web.Request) -> web.Response:
        assert request.method == "DELETE"
        assert (await request.json())["preconditions"] == {"uid": "u"}
        return web.json_response({})

    await _against(delete, lambda kube: kube.delete(CONFIG_MAP, namespace="n", name="a", uid="u"))
