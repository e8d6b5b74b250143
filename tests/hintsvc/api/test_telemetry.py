"""Ingestion over HTTP, into a real Redis."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.hintsvc.serving import API, Serving, config, serving
from tests.hintsvc.support import RedisServer
from tokenflow_api.codec import CONTENT_TYPE, MAX_ENCODED_BYTES, encode
from tokenflow_api.runtime import Grant, Role
from tokenflow_api.telemetry import AgentConfig, Reporter, Signal, SignalState, TelemetryBatch
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_hintsvc.ingest import intake
from tokenflow_hintsvc.ingest.intake import Intake
from tokenflow_hintsvc.store.clock import ServiceClock
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.telemetry import Telemetry

pytestmark = pytest.mark.redis

GRANTS = [
    Grant(namespace="default", service_account="nodes-agent", role=Role.AGENT, agent="nodes"),
    Grant(namespace="default", service_account="gateway", role=Role.GATEWAY),
    Grant(namespace="default", service_account="operator", role=Role.OPERATOR),
]
NODES = AgentConfig(namespace="default", name="nodes", generation=3, spec=TelemetryAgentSpec())


@dataclass
class Ingestion:
    """A replica that takes in telemetry."""

    serving: Serving
    session: aiohttp.ClientSession
    telemetry: Telemetry
    redis: RedisServer

    async def deliver(
        self, sent: TelemetryBatch | bytes, *, account: str = "nodes-agent", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        body = sent if isinstance(sent, bytes) else encode(sent)
        token = self.serving.issuer.token(account=account)
        whole = {"Authorization": f"Bearer {token}", "Content-Type": CONTENT_TYPE} | headers
        url = f"http://127.0.0.1:{self.serving.ports[API]}/v1/telemetry"
        async with self.session.post(url, data=body, headers=whole) as answer:
            reply: dict[str, Any] = {"headers": answer.headers} | await answer.json(content_type=None)
            return answer.status, reply

    async def said_now(self) -> list[TelemetryBatch]:
        return [one.batch.read() for one in await self.telemetry.latest()]


@pytest.fixture
async def ingestion(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Ingestion]:
    connection = Connection(redis_server.url, policy_uid="policy-1")
    telemetry = Telemetry(connection)
    present = config().model_copy(update={"grants": GRANTS, "agents": [NODES]})
    keys = tmp_path / "tenants"
    keys.mkdir()
    async with serving(keys, present) as served, aiohttp.ClientSession() as session:
        served.service.intake = Intake(telemetry)
        served.service.clock = ServiceClock(connection)
        working = asyncio.create_task(served.service.intake.run())
        yield Ingestion(served, session, telemetry, redis_server)
        working.cancel()
    await connection.close()


def batch(
    sequence: int = 1, *, age_ms: int = 0, offset_ms: int = 0, error_ms: int | None = 5, **fields: Any
) -> TelemetryBatch:
    base = {"reporter": Reporter.AGENT, "agent": "default/nodes", "node": "node-1", "boot_id": "b"}
    return TelemetryBatch(
        **base | fields,
        sequence=sequence,
        sent_at_unix_ms=time.time_ns() // 1_000_000 - age_ms - offset_ms,
        clock_offset_ms=offset_ms,
        clock_error_ms=error_ms,
    )


async def test_a_batch_is_acknowledged_with_the_agents_settings_and_speaks_for_now(ingestion: Ingestion) -> None:
    status, reply = await ingestion.deliver(
        batch(signals=[Signal(name="TCP", backend="tp_btf", state=SignalState.ACTIVE)])
    )
    assert (status, reply["sequence"], reply["duplicate"]) == (200, 1, False)
    assert abs(reply["received_at_unix_ms"] - time.time_ns() // 1_000_000) < 30_000
    assert AgentConfig.model_validate(reply["config"]) == NODES
    assert [said.sequence for said in await ingestion.said_now()] == [1]
    (report,) = await ingestion.telemetry.nodes()
    assert (report.agent, report.node, report.signals[0].name) == ("default/nodes", "node-1", "TCP")


async def test_a_batch_that_is_sent_again_is_acknowledged_again_and_counts_once(ingestion: Ingestion) -> None:
    sent = batch()
    assert [(await ingestion.deliver(sent))[1]["duplicate"] for _ in range(3)] == [False, True, True]


async def test_a_clock_that_is_hours_off_is_corrected(ingestion: Ingestion) -> None:
    await ingestion.deliver(batch(offset_ms=7_200_000))
    (said,) = await ingestion.said_now()
    assert abs(said.sent_at_unix_ms - time.time_ns() // 1_000_000) < 30_000
    assert said.clock_error_ms == 5


async def test_a_clock_that_nothing_bounds_is_marked(ingestion: Ingestion) -> None:
    await ingestion.deliver(batch(error_ms=None))
    (said,) = await ingestion.said_now()
    assert said.clock_error_ms is None
    await ingestion.deliver(batch(2, age_ms=3_600_000, error_ms=None))
    assert [said.sequence for said in await ingestion.said_now()] == [1]


async def test_windows_that_waited_through_an_outage_do_not_speak_for_now(ingestion: Ingestion) -> None:
    assert (await ingestion.deliver(batch(1, age_ms=60_000)))[0] == 200
    assert await ingestion.said_now() == []
    await ingestion.deliver(batch(2))
    assert [said.sequence for said in await ingestion.said_now()] == [2]


async def test_a_gateway_speaks_for_its_pod_and_gets_no_agents_settings(ingestion: Ingestion) -> None:
    own = batch(reporter=Reporter.GATEWAY, agent="", node="gateway-0")
    assert (await ingestion.deliver(own, account="gateway"))[1]["config"] is None
    status, problem = await ingestion.deliver(
        own.model_copy(update={"node": "gateway-1", "sequence": 2}), account="gateway"
    )
    assert (status, problem["code"], problem["detail"]) == (403, "NotAllowed", "this token is of another pod")


@pytest.mark.parametrize(
    ("account", "fields"),
    [
        ("nodes-agent", {"agent": "default/others"}),
        ("nodes-agent", {"node": "node-2"}),
        ("nodes-agent", {"reporter": Reporter.GATEWAY, "agent": "", "node": "nodes-agent-0"}),
        ("gateway", {}),
        ("operator", {}),
        ("stranger", {}),
    ],
)
async def test_nobody_speaks_for_another(ingestion: Ingestion, account: str, fields: dict[str, Any]) -> None:
    status, problem = await ingestion.deliver(batch(**fields), account=account)
    assert (status, problem["code"]) == (403, "NotAllowed")
    assert await ingestion.said_now() == []


async def test_who_proves_nothing_is_refused(ingestion: Ingestion) -> None:
    status, problem = await ingestion.deliver(batch(), Authorization="Bearer e30.e30.e30")
    assert (status, problem["code"]) == (401, "NotAuthenticated")


@pytest.mark.parametrize("body", [b"", b"not zstd", encode(batch())[:-4]])
async def test_what_is_no_batch_is_refused_with_what_to_send(ingestion: Ingestion, body: bytes) -> None:
    status, problem = await ingestion.deliver(body)
    assert (status, problem["code"], problem["field"]) == (400, "BadTelemetry", "body")
    assert CONTENT_TYPE in problem["remedy"]


async def test_a_batch_above_the_bound_is_refused_before_it_is_read(ingestion: Ingestion) -> None:
    client = await ingestion.serving.connect(API)
    token = ingestion.serving.issuer.token()
    head = ("POST /v1/telemetry HTTP/1.1", "Host: r", f"Authorization: Bearer {token}")
    await client.send("\r\n".join((*head, f"Content-Length: {MAX_ENCODED_BYTES + 1}", "", "")).encode())
    # Not a byte of it was sent.
    answer = await client.answer()
    await client.close()
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "BatchTooLarge")


async def test_a_batch_above_the_bound_that_hides_its_length_is_refused_too(ingestion: Ingestion) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(MAX_ENCODED_BYTES // 2)

    url = f"http://127.0.0.1:{ingestion.serving.ports[API]}/v1/telemetry"
    headers = {"Authorization": f"Bearer {ingestion.serving.issuer.token()}"}
    async with ingestion.session.post(url, data=chunks(), headers=headers) as answer:
        assert answer.status == 413


async def test_more_than_can_be_held_is_refused_and_may_come_later(
    ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_BYTES", 10)
    status, problem = await ingestion.deliver(batch())
    assert (status, problem["code"], problem["headers"]["Retry-After"]) == (503, "IntakeFull", "1")
    monkeypatch.undo()
    assert (await ingestion.deliver(batch()))[0] == 200


async def test_batches_that_arrive_together_are_stored_together(ingestion: Ingestion) -> None:
    answers = await asyncio.gather(*(ingestion.deliver(batch(sequence)) for sequence in range(1, 101)))
    assert {status for status, _ in answers} == {200}
    assert not any(reply["duplicate"] for _, reply in answers)


async def test_a_redis_that_is_away_makes_senders_keep_their_batches(ingestion: Ingestion) -> None:
    assert (await ingestion.deliver(batch(1)))[0] == 200
    ingestion.redis.stop()
    status, problem = await ingestion.deliver(batch(2))
    assert (status, problem["code"], problem["headers"]["Retry-After"]) == (503, "StoreUnavailable", "1")
    ingestion.redis.start()
    assert (await ingestion.deliver(batch(2)))[1]["duplicate"] is False
