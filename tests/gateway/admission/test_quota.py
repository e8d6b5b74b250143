import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from e2e.bench.proc import free_port
from tests.gateway.admission.support import Clock, reply
from tests.gateway.support import NEVER_S
from tokenflow_api.quota import AdmitRequest, CommitReply, CommitRequest, Refusal
from tokenflow_gateway.admission import quota as module
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.errors import QuotaUnavailableError

ASKED = AdmitRequest(tenant="gold", max_tokens=10)
DONE = CommitRequest(reservation="r1")


@dataclass
class Scripted:
    """Answers requests, on connections that stay open, by what ``says`` returns; ``None`` says nothing."""

    says: Callable[[int], bytes | None]
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = next(line for line in head.splitlines() if line.lower().startswith("content-length"))
                await reader.readexactly(int(length.split(":")[1]))
                self.heads.append(head)
                answer = self.says(len(self.heads))
                if answer is None:
                    await reader.read()
                    return
                writer.write(answer)
                if not answer:
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def served(scripted: Scripted, *, port: int = 0) -> AsyncIterator[str]:
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def client(url: str, **options: object) -> AsyncIterator[QuotaClient]:
    made = QuotaClient(url, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
        await asyncio.sleep(0)


def answer(body: str, *, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} Words\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def problem(status: int, code: str, **members: object) -> bytes:
    return answer(json.dumps({"status": status, "code": code, **members}), status=status)


def admitted(_: int = 0) -> bytes:
    return answer(reply().model_dump_json())


async def test_checks_share_a_connection_and_show_the_token() -> None:
    scripted = Scripted(admitted)
    async with served(scripted) as url, client(url, token=lambda: "secret") as quota:
        for _ in range(3):
            assert (await quota.admit(ASKED)).reservation == "r1"
    assert scripted.connections == 1
    assert scripted.heads[0].startswith("POST /v1/admit HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer secret\r\n" in scripted.heads[0]


async def test_the_token_is_read_anew_after_a_while() -> None:
    tokens, clock = iter(("first", "second")), Clock()
    scripted = Scripted(admitted)
    async with served(scripted) as url, client(url, token=lambda: next(tokens), clock=clock) as quota:
        await quota.admit(ASKED)
        await quota.admit(ASKED)
        clock.now += 6
        await quota.admit(ASKED)
    shown = [head.partition("Bearer ")[2].partition("\r\n")[0] for head in scripted.heads]
    assert shown == ["first", "first", "second"]


async def test_a_refusal_is_a_reply() -> None:
    refusal = reply(Refusal.TOKENS, wait_ms=700).model_dump(mode="json")
    scripted = Scripted(lambda _: problem(429, "TokensPerMinute", admission=refusal))
    async with served(scripted) as url, client(url) as quota:
        got = await quota.admit(ASKED)
    assert (got.admitted, got.refusal, got.retry_after_ms) == (False, Refusal.TOKENS, 700)


async def test_a_quota_store_that_is_away_is_a_reply_and_no_failure() -> None:
    refusal = reply(Refusal.STORE, wait_ms=1000).model_dump(mode="json")
    scripted = Scripted(lambda _: problem(503, "QuotaStore", admission=refusal))
    async with served(scripted) as url, client(url) as quota:
        for _ in range(5):
            assert (await quota.admit(ASKED)).refusal is Refusal.STORE
        assert quota.reachable


@pytest.mark.parametrize(
    "said",
    [
        answer("not JSON"),
        answer("{}", status=429),
        answer("{}", status=500),
        b"no HTTP at all\r\n\r\n",
        b"",
        answer("x" * 100_000),
    ],
)
async def test_whatever_else_it_says_is_of_no_use(said: bytes) -> None:
    async with served(Scripted(lambda _: said)) as url, client(url) as quota:
        with pytest.raises(QuotaUnavailableError):
            await quota.admit(ASKED)


async def test_a_hint_service_that_does_not_believe_the_gateway_is_out_of_reach(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = problem(401, "BadToken", detail="the token has expired")
    async with served(Scripted(lambda _: refused)) as url, client(url) as quota:
        for _ in range(3):
            with pytest.raises(QuotaUnavailableError, match="answered 401"):
                await quota.admit(ASKED)
        assert not quota.reachable
    assert "the token has expired" in next(iter(caplog.records)).__dict__["reason"]


async def test_silence_ends_and_the_late_answer_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADMIT_S", 0.02)
    scripted = Scripted(lambda number: None if number == 1 else admitted())
    async with served(scripted) as url, client(url) as quota:
        with pytest.raises(QuotaUnavailableError, match="took too long"):
            await quota.admit(ASKED)
        monkeypatch.setattr(module, "ADMIT_S", NEVER_S)
        assert (await quota.admit(ASKED)).admitted
    assert scripted.connections == 2


async def test_after_three_failures_only_one_at_a_time_tries() -> None:
    clock = Clock()
    port = free_port()
    async with client(f"http://127.0.0.1:{port}", clock=clock, uniform=lambda _, most: most) as quota:
        for _ in range(3):
            assert quota.reachable
            with pytest.raises(QuotaUnavailableError, match="does not answer"):
                await quota.admit(ASKED)
        assert not quota.reachable
        scripted = Scripted(admitted)
        async with served(scripted, port=port):
            with pytest.raises(QuotaUnavailableError, match="is out of reach"):
                await quota.admit(ASKED)
            clock.now += 0.3
            both = await asyncio.gather(quota.admit(ASKED), quota.admit(ASKED), return_exceptions=True)
            assert [isinstance(one, QuotaUnavailableError) for one in both] == [False, True]
            assert quota.reachable
            assert (await quota.admit(ASKED)).admitted


async def test_a_commit_that_gets_through_tells_that_it_is_back() -> None:
    port = free_port()
    async with client(f"http://127.0.0.1:{port}", clock=Clock()) as quota:
        for _ in range(3):
            with pytest.raises(QuotaUnavailableError):
                await quota.commit(DONE)
        assert not quota.reachable
        committed = CommitReply(committed=True, returned_tokens=5).model_dump_json()
        async with served(Scripted(lambda _: answer(committed)), port=port):
            assert await quota.commit(DONE) == CommitReply(committed=True, returned_tokens=5)
        assert quota.reachable


async def test_a_commit_that_is_refused_for_good_is_told_from_one_to_repeat() -> None:
    statuses = iter((400, 401))
    scripted = Scripted(lambda _: problem(next(statuses), "Bad"))
    async with served(scripted) as url, client(url) as quota:
        assert await quota.commit(DONE) is None
        with pytest.raises(QuotaUnavailableError):
            await quota.commit(DONE)


@pytest.mark.parametrize(
    "said",
    [
        answer("<html>Welcome</html>"),
        answer("<html>Not found</html>", status=404),
        answer('{"message": "no Route matched"}', status=404),
        answer("", status=429),
    ],
)
async def test_who_answers_and_is_no_hint_service_is_out_of_reach(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(Scripted(lambda _: said)) as url, client(url, clock=Clock()) as quota:
        for _ in range(2):
            with pytest.raises(QuotaUnavailableError, match="is no hint service"):
                await quota.admit(ASKED)
        assert quota.reachable
        # Usage must not be thrown away because of a proxy.
        with pytest.raises(QuotaUnavailableError, match="is no hint service"):
            await quota.commit(DONE)
        assert not quota.reachable
        with pytest.raises(QuotaUnavailableError, match="is out of reach"):
            await quota.admit(ASKED)
    assert [record.message for record in caplog.records] == ["quotas are out of reach, failureMode decides"]


async def test_a_problem_with_one_request_is_no_failure() -> None:
    unknown = problem(404, "UnknownTenant", detail="the policy has no tenant gold")
    async with served(Scripted(lambda _: unknown)) as url, client(url) as quota:
        for _ in range(4):
            with pytest.raises(QuotaUnavailableError, match="no tenant gold"):
                await quota.admit(ASKED)
        assert quota.reachable
