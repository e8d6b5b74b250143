"""Deliveries are made beside the passes, retried for a while, and what becomes of each is known."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.builders import NOW
from tokenflow_api.pacing_policy import Notifier
from tokenflow_operator.errors import ForbiddenError, NotFoundError, UnavailableError
from tokenflow_operator.keys import Key
from tokenflow_operator.notify.addresses import Addresses
from tokenflow_operator.notify.dispatcher import Dispatcher
from tokenflow_operator.notify.model import Delivery, Notice, NotifierState, Trouble, TroubleKind
from tokenflow_operator.notify.poster import Poster

DEMO = Key(kind="PacingPolicy", namespace="llm", name="demo")
NOTICE = Notice(
    name="HintServiceDown",
    severity="critical",
    since="2025-12-31T23:59:00Z",
    over=False,
    summary="it is away",
    message="it hung up",
    runbook="https://docs.example/alerts.md",
)


class Cluster:
    """Holds the one Secret, or refuses it."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.error: Exception | None = None
        self.asked: list[tuple[str, str, str]] = []

    def hold(self, url: str) -> None:
        self.data = {"url": base64.b64encode(url.encode()).decode()}
        self.hanging = {"url": base64.b64encode(f"{url}/hang".encode()).decode()}

    async def get(self, kind: Any, *, namespace: str, name: str) -> dict[str, Any]:
        self.asked.append((kind.kind, namespace, name))
        if self.error:
            raise self.error
        return {"data": self.hanging if name == "hanging" else self.data}


def _as_alertmanager_takes_it(alerts: Any) -> bool:
    """Judge as the OpenAPI specification of Alertmanager 0.2x does, and its check of times."""
    return bool(alerts) and all(
        isinstance(alert["labels"]["alertname"], str)
        and all(isinstance(value, str) for value in (*alert["labels"].values(), *alert["annotations"].values()))
        and datetime.fromisoformat(alert["startsAt"]) <= datetime.fromisoformat(alert["endsAt"])
        and alert["generatorURL"].startswith("https://")
        for alert in alerts
    )


class Receiver:
    """Fails as often as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.failures = 0
        self.status = 503
        self.got: list[Any] = []
        self.released = asyncio.Event()

    async def alerts(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        return web.Response(status=200 if _as_alertmanager_takes_it(self.got[-1]) else 400)

    async def hang(self, _: web.Request) -> web.Response:
        await self.released.wait()
        return web.Response()

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        if self.failures:
            self.failures -= 1
            return web.Response(status=self.status)
        return web.Response(status=200)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def receiver(cluster: Cluster) -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/hook", receiver.answer)
    app.router.add_post("/hook/hang", receiver.hang)
    app.router.add_post("/hook/api/v2/alerts", receiver.alerts)
    async with TestServer(app) as server:
        cluster.hold(str(server.make_url("/hook")))
        yield receiver
        receiver.released.set()


class Settled:
    """Lets a test wait until deliveries have ended."""

    def __init__(self) -> None:
        self.policies: asyncio.Queue[Key] = asyncio.Queue()

    async def once(self) -> Key:
        async with asyncio.timeout(30):
            return await self.policies.get()


@pytest.fixture
def settled() -> Settled:
    return Settled()


@pytest.fixture
async def started(cluster: Cluster, settled: Settled) -> AsyncIterator[Callable[..., Dispatcher]]:
    running = []
    async with aiohttp.ClientSession() as session:

        def start(**options: Any) -> Dispatcher:
            dispatcher = Dispatcher(
                addresses=Addresses(cluster),  # type: ignore[arg-type]
                poster=Poster(session),
                settled=settled.policies.put_nowait,
                now=lambda: NOW,
                **options,
            )
            running.append(asyncio.create_task(dispatcher.run()))
            return dispatcher

        yield start
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def _delivery(*notices: Notice, name: str = "ops", type_: str = "Webhook", where: str = "hook") -> Delivery:
    notifier = Notifier.model_validate({"name": name, "type": type_, "secretRef": {"name": where}})
    return Delivery(policy=DEMO, notifier=notifier, notices=notices)


@pytest.mark.parametrize("type_", ["Alertmanager", "Webhook", "Slack"])
async def test_what_is_taken_is_known_to_be_told(
    started: Callable[..., Dispatcher], receiver: Receiver, settled: Settled, cluster: Cluster, type_: str
) -> None:
    dispatcher = started()
    dispatcher.take(_delivery(NOTICE, type_=type_))
    assert dispatcher.states(DEMO)["ops"].busy
    assert await settled.once() == DEMO
    assert dispatcher.states(DEMO) == {"ops": NotifierState(settled_at=NOW, sent_at=NOW, told=("HintServiceDown",))}
    assert len(receiver.got) == 1
    assert cluster.asked == [("Secret", "llm", "hook")]


async def test_a_receiver_that_is_away_for_a_moment_is_tried_again(
    started: Callable[..., Dispatcher], receiver: Receiver, settled: Settled
) -> None:
    receiver.failures = 1
    dispatcher = started()
    dispatcher.take(_delivery(NOTICE))
    await settled.once()
    assert len(receiver.got) == 2
    assert dispatcher.states(DEMO)["ops"].trouble is None


async def test_a_receiver_that_stays_away_is_left_alone_after_a_while(
    started: Callable[..., Dispatcher], receiver: Receiver, settled: Settled
) -> None:
    receiver.failures = 10**6
    dispatcher = started(limit_s=0.3)
    dispatcher.take(_delivery(NOTICE))
    await settled.once()
    state = dispatcher.states(DEMO)["ops"]
    assert state.trouble == Trouble(kind=TroubleKind.FAILING, message="it answered 503")
    assert (state.busy, state.told, state.settled_at) == (False, (), NOW)


async def test_a_receiver_that_will_not_have_it_is_asked_once(
    started: Callable[..., Dispatcher], receiver: Receiver, settled: Settled
) -> None:
    receiver.failures, receiver.status = 10, 404
    dispatcher = started()
    dispatcher.take(_delivery(NOTICE))
    await settled.once()
    assert len(receiver.got) == 1
    assert dispatcher.states(DEMO)["ops"].trouble == Trouble(kind=TroubleKind.FAILING, message="it answered 404")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ForbiddenError("403"), TroubleKind.FORBIDDEN, "Secret hook may not be read"),
        (NotFoundError("404"), TroubleKind.UNUSABLE, "there is no Secret hook"),
        (UnavailableError("no route"), TroubleKind.FAILING, "Secret hook cannot be read now: no route"),
    ],
)
async def test_a_secret_that_cannot_be_read_is_told_before_there_is_an_alert(
    started: Callable[..., Dispatcher],
    cluster: Cluster,
    settled: Settled,
    error: Exception,
    kind: TroubleKind,
    message: str,
) -> None:
    cluster.error = error
    dispatcher = started(limit_s=0.3)
    dispatcher.take(_delivery())
    await settled.once()
    assert dispatcher.states(DEMO)["ops"].trouble == Trouble(kind=kind, message=message)


@pytest.mark.parametrize(
    "url", ["", "ftp://a.example", "https://", "very-secret", "http://a.example:port/", "http://a/" + "x" * 2048]
)
async def test_a_secret_without_a_url_is_of_no_use(
    started: Callable[..., Dispatcher], cluster: Cluster, settled: Settled, url: str
) -> None:
    cluster.hold(url)
    dispatcher = started()
    dispatcher.take(_delivery(NOTICE))
    await settled.once()
    trouble = dispatcher.states(DEMO)["ops"].trouble
    assert trouble is not None
    assert trouble.kind is TroubleKind.UNUSABLE
    assert "very-secret" not in trouble.message


async def test_a_look_at_the_secret_sends_nothing_and_forgets_nothing(
    started: Callable[..., Dispatcher], receiver: Receiver, settled: Settled
) -> None:
    dispatcher = started()
    dispatcher.take(_delivery(NOTICE))
    await settled.once()
    dispatcher.take(_delivery())
    await settled.once()
    assert len(receiver.got) == 1
    assert dispatcher.states(DEMO)["ops"].told == ("HintServiceDown",)


async def test_what_finds_no_place_counts_as_failed(cluster: Cluster, settled: Settled) -> None:
    async with aiohttp.ClientSession() as session:
        idle = Dispatcher(
            addresses=Addresses(cluster),  # type: ignore[arg-type]
            poster=Poster(session),
            settled=settled.policies.put_nowait,
            now=lambda: NOW,
            max_waiting=1,
        )
        idle.take(_delivery(NOTICE, name="first"))
        idle.take(_delivery(NOTICE, name="first"))
        idle.take(_delivery(NOTICE, name="second"))
    assert idle.states(DEMO)["first"].trouble is None
    assert idle.states(DEMO)["second"].trouble == Trouble(kind=TroubleKind.FAILING, message="too many messages wait")


async def test_receivers_that_hang_hold_up_no_other(
    started: Callable[..., Dispatcher], receiver: Receiver, settled: Settled
) -> None:
    dispatcher = started()
    for number in range(20):
        dispatcher.take(_delivery(NOTICE, name=f"hanging-{number}", where="hanging"))
    for number in range(20):
        dispatcher.take(_delivery(NOTICE, name=f"ops-{number}"))
    for _ in range(20):
        await settled.once()
    assert len(receiver.got) == 20
    assert sum(state.busy for state in dispatcher.states(DEMO).values()) == 20


async def test_a_defect_ends_no_worker_and_tells_no_url(
    started: Callable[..., Dispatcher],
    cluster: Cluster,
    receiver: Receiver,
    settled: Settled,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dispatcher = started()
    cluster.error = RuntimeError("https://hooks.example/very-secret")
    for number in range(40):
        dispatcher.take(_delivery(NOTICE, name=f"ops-{number}"))
    for _ in range(40):
        await settled.once()
    assert "RuntimeError at" in caplog.records[0].__dict__["cause"]
    assert "very-secret" not in " ".join(str(record.__dict__) for record in caplog.records)
    cluster.error = None
    dispatcher.take(_delivery(NOTICE))
    await settled.once()
    assert len(receiver.got) == 1


@pytest.mark.usefixtures("receiver")
async def test_a_policy_that_is_gone_is_forgotten(started: Callable[..., Dispatcher], settled: Settled) -> None:
    dispatcher = started()
    dispatcher.take(_delivery(NOTICE))
    dispatcher.forget(DEMO)
    await settled.once()
    assert dispatcher.states(DEMO) == {}
