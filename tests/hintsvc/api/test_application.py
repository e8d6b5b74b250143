"""What the application makes of requests that no handler answers well."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.hintsvc.serving import API, request, serving
from tests.hintsvc.support import runtime
from tests.serving.issuer import Issuer
from tokenflow_api.api_keys import KeyRing
from tokenflow_api.audit import AuditEntry, Outcome
from tokenflow_api.serving.credentials import Credentials
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.application import application
from tokenflow_hintsvc.guard.access import Guard
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.fetch import published

if TYPE_CHECKING:
    from tokenflow_hintsvc.api.service import Service

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Kept:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        self.entries += entries


@dataclass
class Broken:
    """A replica that has its guard and nothing else: every handler that needs more fails."""

    guard: Guard
    audit: Audit
    certificates: None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def audit(kept: Kept) -> Audit:
    return Audit(kept, replica="r")


@pytest.fixture
async def client(tmp_path: Path, audit: Audit) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    credentials = Credentials(ring=KeyRing(tmp_path), cluster=Issuer(), published=published, figures=metrics.SERVING)
    guard = Guard(runtime(), credentials=credentials, audit=audit)
    async with TestClient(TestServer(application(cast("Service", Broken(guard, audit))))) as running:
        yield running


async def test_an_error_of_our_own_is_logged_with_its_cause_and_answered_without(
    client: TestClient[web.Request, web.Application], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.get(
            "/v1/health?token=sk-secret", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        )
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"], problem["trace_id"]) == (500, "InternalError", TRACE)
    assert "AttributeError" not in str(problem)
    assert "AttributeError" in caplog.text
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NotFound"),
        ("GET", "/metrics", 404, "NotFound"),
        ("GET", "/v1/hints/", 404, "NotFound"),
        ("GET", "/v1/hints/a/b", 404, "NotFound"),
        ("DELETE", "/v1/hints/gold", 405, "MethodNotAllowed"),
        ("PROPFIND", "/v1/health", 405, "MethodNotAllowed"),
        ("GET", "/v1/telemetry", 405, "MethodNotAllowed"),
    ],
)
async def test_what_there_is_not_is_a_problem(
    client: TestClient[web.Request, web.Application], method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (status, code)
    assert ("Allow" in answer.headers) == (status == 405)
    assert len(problem["trace_id"]) == 32


async def test_the_record_has_no_words_of_the_caller(
    client: TestClient[web.Request, web.Application], audit: Audit, kept: Kept
) -> None:
    for _ in range(3):
        answer = await client.request(
            "PROPFIND",
            "/v1/secret?secret=1",
            headers={"Authorization": "Bearer sk-secret", "X-Forwarded-For": "secret"},
        )
        assert answer.status == 401
    await audit.flush()
    (entry,) = [entry for entry in kept.entries if entry.outcome is Outcome.DENIED]
    assert (entry.action, entry.address, entry.count) == ("~other ~other", "127.0.0.1", 3)
    assert "secret" not in entry.model_dump_json()


@pytest.mark.parametrize("path", ["/v1/admit", "/v1/commit"])
async def test_a_body_that_does_not_say_how_large_it_is_is_read_no_further_than_it_may_be(
    tmp_path: Path, path: str
) -> None:
    async with serving(tmp_path) as served:
        client = await served.connect(API)
        await client.send(request(path, "Transfer-Encoding: chunked", method="POST"))
        # The end of it is still to come.
        await client.send(b"4e20\r\n" + b"x" * 20_000 + b"\r\n")
        answer = await client.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (413, "BodyTooLarge")
        await client.close()


async def test_a_body_of_another_encoding_than_it_says_is_no_fault_of_ours(
    client: TestClient[web.Request, web.Application],
) -> None:
    answer = await client.post("/v1/admit", data=b"garbage", headers={"Content-Encoding": "gzip"})
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (400, "BadRequest")


@pytest.mark.parametrize("path", ["/v1/admit", "/v1/commit"])
async def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("tokenflow_hintsvc.api.body.BODY_S", 0.01)
    async with serving(tmp_path) as served:
        client = await served.connect(API)
        await client.send(request(path, "Content-Length: 10", method="POST") + b"{")
        answer = await client.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (408, "BodyTooSlow")
        await client.close()
