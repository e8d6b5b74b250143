from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.builders import view
from tests.serving.authority import Authority
from tokenflow_operator.errors import (
    HintServiceFailingError,
    HintServiceRefusedError,
    HintServiceUnreachableError,
    HintServiceUntrustedError,
)
from tokenflow_operator.hint_service import Answer, HintService


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("secret\n")
    return path


async def _ask(token_file: Path, *, status: int = 200, body: str = "") -> Answer | None:
    async def cluster(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            return web.json_response({"detail": "unknown token"}, status=401)
        return web.Response(status=status, text=body or view().model_dump_json(by_alias=True))

    app = web.Application()
    app.router.add_get("/v1/cluster", cluster)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        return await HintService(session=session, token_file=token_file).view(url)


async def test_it_returns_the_view(token_file: Path) -> None:
    answer = await _ask(token_file)
    assert answer is not None
    assert answer.view == view()


async def test_a_token_that_is_not_accepted_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"old")
    with pytest.raises(HintServiceRefusedError, match="401"):
        await _ask(tmp_path / "token")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_is_told_apart(token_file: Path, status: int) -> None:
    with pytest.raises(HintServiceRefusedError):
        await _ask(token_file, status=status)


@pytest.mark.parametrize(("status", "body"), [(404, "{}"), (200, "<html>"), (200, '{"term": "x"}')])
async def test_an_answer_that_is_no_view_counts_as_none(token_file: Path, status: int, body: str) -> None:
    with pytest.raises(HintServiceUnreachableError):
        await _ask(token_file, status=status, body=body)


async def test_the_hint_services_own_words_are_passed_on(token_file: Path) -> None:
    with pytest.raises(HintServiceFailingError, match="503 Redis is away"):
        await _ask(token_file, status=503, body='{"detail": "Redis is away"}')


async def test_a_certificate_that_is_not_to_be_believed_is_told_apart(token_file: Path, tmp_path: Path) -> None:
    ours, theirs = Authority("ours"), Authority("theirs")
    ours.issue(tmp_path / "ended", "server", days=0)
    theirs.issue(tmp_path / "theirs", "server")
    for directory, why in (("ended", "certificate has expired"), ("theirs", "unable to get local issuer certificate")):
        server = TestServer(web.Application())
        await server.start_server(ssl=ours.server(tmp_path / directory))
        async with server, aiohttp.ClientSession() as session:
            asking = HintService(session=session, token_file=token_file)
            with pytest.raises(HintServiceUntrustedError, match=why):
                await asking.view(f"https://127.0.0.1:{server.port}", authorities=ours.pem.decode())


async def test_who_does_not_speak_tls_is_told_in_words_that_stay_the_same(token_file: Path) -> None:
    async with TestServer(web.Application()) as server, aiohttp.ClientSession() as session:
        asking = HintService(session=session, token_file=token_file)
        with pytest.raises(HintServiceUnreachableError, match=r"^\[SSL: WRONG_VERSION_NUMBER\]"):
            await asking.view(f"https://127.0.0.1:{server.port}")


async def test_a_missing_token_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(HintServiceUnreachableError, match="absent"):
        await _ask(tmp_path / "absent")
