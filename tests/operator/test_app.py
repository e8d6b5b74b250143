"""How the parts end together."""

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tokenflow_api.tasks import TaskEndedError
from tokenflow_operator import app
from tokenflow_operator.app import Options
from tokenflow_operator.election import Alone
from tokenflow_operator.errors import KubeError
from tokenflow_operator.follow import Reach
from tokenflow_operator.heartbeat import Heartbeat
from tokenflow_operator.workqueue import WorkQueue

OPTIONS = Options(
    reach=Reach(namespace="n", nodes=False, resync_s=300.0),
    instance="i",
    lease="",
    webhook=None,
    kubeconfig=None,
    token_file=Path("/absent"),
    workers=1,
    port=0,
    metrics_port=0,
)


async def _for_ever(*_: Any, **__: Any) -> None:
    await asyncio.Event().wait()


async def _watch(*_: Any, stop: asyncio.Event, **__: Any) -> None:
    await stop.wait()


async def _broken_watch(*_: Any, **__: Any) -> None:
    raise KubeError("watching has failed")


async def _cancelled_from_within(*_: Any, **__: Any) -> None:
    raise asyncio.CancelledError


def _engine(**parts: Any) -> Any:
    engine = SimpleNamespace(queue=WorkQueue(), heartbeat=Heartbeat(), webhook=None, feed=None)
    for name in ("follower", "polls", "dispatcher", "workers"):
        setattr(engine, name, SimpleNamespace(run=parts.get(name, _for_ever)))
    engine.follower.listed = asyncio.Event()
    engine.follower.listed.set()
    return engine


@pytest.mark.parametrize(
    ("watch", "parts", "error"),
    [
        (_broken_watch, {}, KubeError),
        (_watch, {"follower": _broken_watch}, KubeError),
        (_watch, {"polls": _broken_watch}, KubeError),
        (_watch, {"follower": _cancelled_from_within}, TaskEndedError),
        (_watch, {"workers": _cancelled_from_within}, TaskEndedError),
    ],
)
async def test_a_part_that_ends_ends_the_operator_which_says_why(
    monkeypatch: pytest.MonkeyPatch, watch: Any, parts: dict[str, Any], error: type[Exception]
) -> None:
    monkeypatch.setattr(app, "watch", watch)
    async with asyncio.timeout(30):
        with pytest.raises(error):
            await app._run(_engine(**parts), OPTIONS, Alone(identity="i"))


async def test_it_ends_when_asked_to_before_anything_was_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "watch", _broken_watch)
    engine = _engine()
    engine.follower.listed.clear()
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        await app._run(engine, OPTIONS, Alone(identity="i"))
