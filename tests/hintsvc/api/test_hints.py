"""Hint reads: both listeners answer the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hintsvc.serving import API, FAST, KEY, Answer, Serving, config, request, serving, snapshot

BEARER = f"Authorization: Bearer {KEY}"
LONG = "x" * 513


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        running.publish(snapshot())
        yield running


def comparable(answer: Answer) -> tuple[int, dict[str, str], object]:
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "server", "connection")}
    if answer.headers.get("content-type") != "application/problem+json":
        return answer.status, headers, answer.body
    problem = json.loads(answer.body)
    assert len(problem.pop("trace_id")) == 32
    return answer.status, headers, problem


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("GET", "/v1/hints/gold", [BEARER], 200),
        ("HEAD", "/v1/hints/gold", [BEARER], 200),
        ("GET", "/v1/hints/gold?path=llama/192.0.2.0/24", [BEARER], 200),
        ("GET", "/v1/hints/gold?path=llama%2F192.0.2.0%2F24&path=*", [BEARER], 200),
        ("GET", "/v1/hints/gold?path=&other=1", [BEARER], 200),
        ("GET", "/v1/hints/%67old", [BEARER], 200),
        ("GET", "/v1/hints/gold", [BEARER, 'If-None-Match: "1-1"'], 304),
        ("HEAD", "/v1/hints/gold", [BEARER, 'If-None-Match: "0-9", W/"1-1"'], 304),
        ("GET", "/v1/hints/gold", [BEARER, 'If-None-Match: "1-2"'], 200),
        ("GET", "/v1/hints/open", [], 200),
        ("GET", "/v1/hints/gold", [], 403),
        ("GET", "/v1/hints/nobody", [], 403),
        ("GET", "/v1/hints/gold%20", [BEARER], 403),
        ("GET", "/v1/hints/gold", ["Authorization: Bearer tfk_another"], 401),
        ("GET", "/v1/hints/gold", ["Authorization: Basic Z29sZDpnb2xk"], 401),
        ("GET", f"/v1/hints/gold?path={LONG}", [BEARER], 400),
        ("GET", "/v1/hints/", [BEARER], 404),
        ("GET", "/v1/hints/gold/paths", [BEARER], 404),
        ("GET", "/nowhere", [BEARER], 404),
        ("POST", "/v1/hints/gold", [BEARER, "Content-Length: 0"], 405),
        ("DELETE", "/v1/hints/gold", [BEARER], 405),
    ],
)
async def test_both_listeners_answer_the_same(
    served: Serving, method: str, target: str, headers: list[str], status: int
) -> None:
    of_api, of_fast = [await served.ask(name, target, *headers, method=method) for name in (API, FAST)]
    assert of_api.status == status
    assert comparable(of_fast) == comparable(of_api)


@pytest.mark.parametrize("name", [API, FAST])
async def test_a_caller_that_asks_again_is_told_when_something_is_new(served: Serving, name: str) -> None:
    first = await served.ask(name, "/v1/hints/open")
    assert (first.headers["etag"], first.headers["cache-control"]) == ('"1-1"', "private, no-cache")
    known = f"If-None-Match: {first.headers['etag']}"
    assert (await served.ask(name, "/v1/hints/open", known)).status == 304
    served.publish(snapshot(2))
    again = await served.ask(name, "/v1/hints/open", known)
    assert (again.status, again.headers["etag"], json.loads(again.body)["version"]) == (200, '"1-2"', 2)


@pytest.mark.parametrize("name", [API, FAST])
async def test_a_hint_that_nobody_renews_drifts(served: Serving, name: str) -> None:
    client = await served.connect(name)
    rates = []
    for age in (0.5, 6.0, 30.0):
        served.clock.now = 1000.0 + age
        # The clock of the listener's own memory is the real one, so that this asks on a path of its own.
        await client.send(request(f"/v1/hints/open?path={age}"))
        rates.append(json.loads((await client.answer()).body)["hint"]["tokens_per_second"])
    assert rates == [9.0, pytest.approx(9.0 + 11.0 * 0.51), 20.0]
    await client.close()


@pytest.mark.parametrize("name", [API, FAST])
async def test_a_key_that_is_withdrawn_reads_no_more_on_an_open_connection(
    served: Serving, name: str, tmp_path: Path
) -> None:
    client = await served.connect(name)
    await client.send(request("/v1/hints/gold", BEARER))
    assert (await client.answer()).status == 200
    (tmp_path / "gold" / "key").write_text("tfk_another-key")
    served.apply(config(generation=2))
    await client.send(request("/v1/hints/gold", BEARER))
    assert (await client.answer()).status == 401
    await client.close()


@pytest.mark.parametrize("name", [API, FAST])
async def test_callers_who_ask_too_often_are_told_when_to_come_back(tmp_path: Path, name: str) -> None:
    limited = config(security={"requestsPerSecondPerIP": 2, "requestsPerSecondPerKey": 100})
    async with serving(tmp_path, limited) as running:
        running.publish(snapshot())
        answers = [await running.ask(name, "/v1/hints/open") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].headers["retry-after"] == "1"
        running.clock.now += 1
        assert (await running.ask(name, "/v1/hints/open")).status == 200


@pytest.mark.parametrize("name", [API, FAST])
async def test_strangers_networks_are_refused_and_recorded(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path, config(security={"allowCIDRs": ["192.0.2.0/24"]})) as running:
        running.publish(snapshot())
        assert (await running.ask(name, "/v1/hints/open")).status == 403
        await running.service.audit.flush()
        denied = [entry for entry in running.audited.entries if entry.outcome == "Denied"]
        assert [(entry.action, entry.address, entry.reason) for entry in denied] == [
            ("GET /v1/hints/{tenant}", "127.0.0.1", "AddressNotAllowed")
        ]


@pytest.mark.parametrize("name", [API, FAST])
async def test_a_service_account_is_proven_once_and_reads_everybodys(served: Serving, name: str) -> None:
    token = f"Authorization: Bearer {served.issuer.token(account='gateway')}"
    client = await served.connect(name)
    # All at once: the answers keep their order while the token is being proven.
    await client.send(request("/v1/hints/gold", token) + request("/v1/hints/open", token))
    tenants = [json.loads((await client.answer()).body)["hint"]["tenant"] for _ in range(2)]
    assert tenants == ["gold", "open"]
    assert served.issuer.fetches == 1
    await client.close()


@pytest.mark.parametrize("name", [API, FAST])
async def test_a_credential_that_was_refused_stays_refused(served: Serving, name: str) -> None:
    client = await served.connect(name)
    wrong = "Authorization: Bearer tfk_another"
    for header in (BEARER, wrong, wrong, BEARER):
        await client.send(request("/v1/hints/gold", header))
    assert [(await client.answer()).status for _ in range(4)] == [200, 401, 401, 200]
    await client.close()


async def test_a_fault_of_ours_is_answered_and_the_connection_goes_on(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await served.connect(FAST)
    with monkeypatch.context() as broken:
        broken.setattr(served.service.answers, "get", lambda *_: 1 / 0)
        await client.send(request("/v1/hints/open"))
        answer = await client.answer()
    assert (answer.status, json.loads(answer.body)["code"]) == (500, "InternalError")
    await client.send(request("/v1/hints/open"))
    assert (await client.answer()).status == 200
    await client.close()


async def test_many_callers_at_once(served: Serving) -> None:
    answers = await asyncio.gather(*(served.ask(FAST, "/v1/hints/open") for _ in range(300)))
    assert {answer.status for answer in answers} == {200}
