"""The webhook as a server: with whose certificate it answers, and what it takes for a question."""

import asyncio
import base64
import contextlib
import copy
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.operator.builders import agent
from tokenflow_operator.election import Alone
from tokenflow_operator.errors import NotFoundError
from tokenflow_operator.kube import Kind, Manifest
from tokenflow_operator.snapshot import Known
from tokenflow_operator.webhook import Keeper, Webhook, WebhookOptions
from tokenflow_operator.webhook.authority import renewed

EMPTY = Known(policies=(), agents=(), nodes=None)
REQUEST: dict[str, Any] = {
    "uid": "u",
    "kind": {"kind": "TelemetryAgent"},
    "namespace": "default",
    "object": {"metadata": {"name": "new"}, "spec": {}},
}


class FakeKube:
    """Holds the Secret and the configuration as the chart makes them."""

    def __init__(self) -> None:
        self.secret: Manifest | None = {"metadata": {"name": "hook", "namespace": "system"}}
        hook = {"name": "resources.tokenflow.io", "clientConfig": {"service": {}}}
        self.configuration: Manifest = {"metadata": {"name": "hooks"}, "webhooks": [hook]}
        self.writes = 0
        self.told = asyncio.Event()

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest:
        wanted = self.secret if kind.kind == "Secret" else self.configuration
        if wanted is None or wanted["metadata"]["name"] != name:
            raise NotFoundError(name)
        assert wanted["metadata"].get("namespace", "") == namespace
        return copy.deepcopy(wanted)

    async def replace(self, _: Kind, manifest: Manifest) -> Manifest:
        self.writes += 1
        self.secret = manifest
        return manifest

    async def apply(self, _: Kind, manifest: Manifest, *, force: bool) -> Manifest:
        assert force
        self.writes += 1
        (hook,) = manifest["webhooks"]
        self.configuration["webhooks"][0]["clientConfig"] |= hook["clientConfig"]
        self.told.set()
        return manifest

    @property
    def trusted(self) -> str:
        return base64.b64decode(self.configuration["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()


@asynccontextmanager
async def served(
    kube: FakeKube, port: int, known: Callable[[], Known | None] = lambda: EMPTY, *, leads: bool = True
) -> AsyncIterator[Callable[..., Any]]:
    """Run a webhook, and lend a way to post to it as a caller that trusts whom the configuration says."""
    options = WebhookOptions(host="127.0.0.1", port=port, namespace="system", secret="hook", configuration="hooks")
    leadership = Alone(identity="me")
    if not leads:
        leadership.leading.clear()
    keeper = Keeper(options=options, kube=kube, leadership=leadership, now=lambda: datetime.now(UTC))  # type: ignore[arg-type] # the calls that it makes
    webhook = Webhook(port=port, keeper=keeper, known=known)
    running = asyncio.create_task(webhook.run())
    try:
        await asyncio.wait_for(kube.told.wait(), timeout=30)
        context = ssl.create_default_context(cadata=kube.trusted)

        async def post(body: bytes | io.BytesIO | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
            content = {"json": {"request": REQUEST | fields}} if body is None else {"data": body}
            async with aiohttp.ClientSession() as session:
                for _ in range(1500):
                    try:
                        url = f"https://127.0.0.1:{port}/validate"
                        async with session.post(url, ssl=context, **content) as response:
                            read = await response.read()
                            return response.status, json.loads(read) if response.ok else {}
                    except aiohttp.ClientConnectorError:
                        await asyncio.sleep(0.02)
            raise AssertionError("nobody listens")

        yield post
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_it_makes_its_certificate_and_answers(unused_tcp_port: int) -> None:
    kube = FakeKube()
    async with served(kube, unused_tcp_port) as post:
        status, document = await post()
        assert (status, document["response"]) == (200, {"uid": "u", "allowed": True})
    assert kube.secret is not None
    assert set(kube.secret["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert kube.writes == 2


async def test_what_others_forbid_is_refused(unused_tcp_port: int) -> None:
    known = Known(policies=(), agents=(agent(),), nodes=None)
    async with served(FakeKube(), unused_tcp_port, lambda: known) as post:
        status, document = await post()
    assert (status, document["response"]["allowed"]) == (200, False)
    assert "default/nodes" in document["response"]["status"]["message"]


async def test_before_all_is_known_it_says_so_and_decides_nothing(unused_tcp_port: int) -> None:
    async with served(FakeKube(), unused_tcp_port, lambda: None) as post:
        assert (await post())[0] == 503


@pytest.mark.parametrize(("body", "status"), [(b"no JSON", 400), (b"[]", 400), (b"[" * 100_000, 400)])
async def test_what_is_no_question_is_turned_away(unused_tcp_port: int, body: bytes, status: int) -> None:
    async with served(FakeKube(), unused_tcp_port) as post:
        assert (await post(body))[0] == status
        assert (await post())[0] == 200


async def test_a_body_beyond_the_bound_is_not_read(unused_tcp_port: int) -> None:
    async with served(FakeKube(), unused_tcp_port) as post:
        # It is turned away as soon as it is too long, whether it has been sent to its end or not.
        with contextlib.suppress(aiohttp.ClientOSError):
            assert (await post(io.BytesIO(b" " * (9 << 20))))[0] == 413
        assert (await post())[0] == 200


async def test_one_that_waits_serves_what_the_leader_made_and_writes_nothing(unused_tcp_port: int) -> None:
    kube = FakeKube()
    bundle = renewed(None, host="127.0.0.1", now=datetime.now(UTC))
    assert kube.secret is not None
    kube.secret["data"] = {name: base64.b64encode(value).decode() for name, value in bundle.data.items()}
    kube.told.set()
    kube.configuration["webhooks"][0]["clientConfig"]["caBundle"] = base64.b64encode(bundle.trusted).decode()
    async with served(kube, unused_tcp_port, leads=False) as post:
        assert (await post())[0] == 200
    assert kube.writes == 0


async def test_rubbish_in_the_secret_is_replaced(unused_tcp_port: int) -> None:
    kube = FakeKube()
    assert kube.secret is not None
    kube.secret["data"] = dict.fromkeys(("ca.crt", "ca.key", "tls.crt", "tls.key"), "cnViYmlzaA==")
    async with served(kube, unused_tcp_port) as post:
        assert (await post())[0] == 200
    assert "rubbish" not in kube.trusted
