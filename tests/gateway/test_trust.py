"""Whom the gateway believes its hint service by, while the policy changes its mind."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.gateway.admission.support import reply
from tests.serving.authority import Authority
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.quota import AdmitRequest
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.windows import StreamWindows
from tokenflow_client import HintFollower
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.configuration import Configuration
from tokenflow_gateway.errors import KeysUnavailableError, QuotaUnavailableError
from tokenflow_gateway.identity.administrators import Administrators
from tokenflow_gateway.telling import reporter as reporter_module
from tokenflow_gateway.telling.reporter import StreamReporter
from tokenflow_gateway.trust import Trust

OLD, NEW = Authority("old"), Authority("new")
BOTH = f"{OLD.pem.decode()}\n{NEW.pem.decode()}"
ASKED = AdmitRequest(tenant="gold")


def believe(configuration: Configuration, bundle: str) -> None:
    """Let the next generation of the policy have a bundle."""
    known = configuration.current
    spec = {
        "tenants": [{"name": "gold"}],
        "gateway": {"upstreams": [{"name": "a", "url": "http://a"}]},
        "security": {"caBundle": bundle},
    }
    config = RuntimeConfig(
        namespace="default",
        name="demo",
        uid="u",
        generation=known.generation + 1 if known else 1,
        spec=PacingPolicySpec.model_validate(spec),
    )
    configuration.offer(config, source="file")


def trusting(directory: Path, bundle: str) -> tuple[Configuration, Trust]:
    configuration = Configuration(directory / "runtime.json")
    believe(configuration, bundle)
    return configuration, Trust(configuration, None)


@asynccontextmanager
async def hint_service(directory: Path) -> AsyncIterator[str]:
    """A hint service whose certificate is of the old authority."""
    OLD.issue(directory, "hints")

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        return response

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(text=reply().model_dump_json())

    app = web.Application()
    app.router.add_get("/v1/hints/stream", stream)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=OLD.server(directory)).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_quotas_are_no_longer_asked_of_who_shows_an_authority_that_was_taken_out(tmp_path: Path) -> None:
    configuration, trust = trusting(tmp_path, BOTH)
    async with hint_service(tmp_path / "tls") as url:
        quota = QuotaClient(url, tls=trust)
        try:
            assert (await quota.admit(ASKED)).admitted
            believe(configuration, NEW.pem.decode())
            trust.refresh()
            with pytest.raises(QuotaUnavailableError, match="no connection"):
                await quota.admit(ASKED)
        finally:
            quota.close()


async def test_nor_who_is_an_administrator(tmp_path: Path) -> None:
    configuration, trust = trusting(tmp_path, BOTH)
    async with hint_service(tmp_path / "tls") as url:
        administrators = Administrators(url, tls=trust)
        await administrators.check("Bearer token")
        believe(configuration, NEW.pem.decode())
        trust.refresh()
        with pytest.raises(KeysUnavailableError):
            await administrators.check("Bearer token")


async def test_nor_are_hints_followed_there(tmp_path: Path) -> None:
    configuration, trust = trusting(tmp_path, BOTH)
    async with hint_service(tmp_path / "tls") as url:
        follower = HintFollower(url, tls=trust)
        following = asyncio.create_task(follower.run())
        async with asyncio.timeout(30):
            while "ended the stream" not in follower.failure:  # noqa: ASYNC110 - it is told over a connection
                await asyncio.sleep(0.01)
            believe(configuration, NEW.pem.decode())
            trust.refresh()
            while "CERTIFICATE_VERIFY_FAILED" not in follower.failure:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_nor_are_windows_told_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reporter_module, "WINDOW_S", 0.05)
    configuration, trust = trusting(tmp_path, BOTH)
    async with hint_service(tmp_path / "tls") as url:
        reporter = StreamReporter(url=url, node="gateway-0", token=str, observe=lambda _: StreamWindows(), tls=trust)
        reporting = asyncio.create_task(reporter.run())
        async with asyncio.timeout(30):
            while "cannot be read" not in caplog.text:  # noqa: ASYNC110 - it is told over a connection
                await asyncio.sleep(0.01)
            believe(configuration, NEW.pem.decode())
            trust.refresh()
            while "windows wait" not in caplog.text:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


def test_a_bundle_that_cannot_be_read_leaves_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configuration, trust = trusting(tmp_path, OLD.pem.decode())
    good = trust()
    believe(configuration, "none")
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            trust.refresh()
    assert trust() is good
    assert len(caplog.records) == 1
    believe(configuration, NEW.pem.decode())
    trust.refresh()
    assert trust() is not good


def test_where_nothing_can_be_read_nobody_is_believed(tmp_path: Path) -> None:
    _, trust = trusting(tmp_path, "none")
    assert trust().get_ca_certs() == []
    assert trust().verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_to_show_that_changes_makes_another_context(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path / "runtime.json")
    believe(configuration, OLD.pem.decode())
    shown = tmp_path / "shown"
    shown.mkdir()
    trust = Trust(configuration, shown)
    first = trust()
    trust.refresh()
    assert trust() is first
    (shown / "something").write_text("new")
    trust.refresh()
    assert trust() is not first
