"""What goes wrong between the operator and its API server, or with that itself, and how soon all is well again.

Each time the operator is held still, things are changed behind its back, and it goes on while something is wrong.
"""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.operator.kills import delete, edit
from e2e.bench.operator.stage import Stage
from e2e.faults.faults import (
    BROKEN,
    EXPIRED,
    FORGETFUL,
    READ_ONLY,
    SLOW,
    THROTTLED,
    THROTTLED_BY_HALF,
    TIMED_OUT,
    Fault,
)
from tokenflow_operator.kube.kinds import DEPLOYMENT, SERVICE

MAX_RECOVERY_S: Final = 30.0
_NAMESPACE: Final = "disturbed"
_CALM_S: Final = 6.0
_CUTS_PER_S: Final = 5
_ETCD_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """Something that goes wrong.

    Attributes:
        name: of it.
        wrong: lets it be wrong until the block is left.
    """

    name: str
    wrong: Callable[[Stage], AbstractContextManager[None]]


async def recovery_s(stage: Stage, namespace: str, disturbance: Disturbance, *, hold_s: float) -> float:
    """Disturb the operator, and return the seconds from the end of it until all is as planned.

    Args:
        stage: where both examples are as planned, and the operator runs.
        namespace: of the examples.
        disturbance: what goes wrong.
        hold_s: seconds for which it does.

    Raises:
        BenchError: it did not come to what was planned, or the operator ended.
    """
    stage.operator.program.pause()
    await edit(stage, namespace)
    await stage.api.delete(SERVICE, namespace=namespace, name="demo-hintsvc")
    # Somebody else each time: one who comes back again and again is a controller, and is not overruled.
    somebody, change = f"somebody-{time.monotonic_ns()}", {"spec": {"replicas": 1}}
    await stage.api.patch(DEPLOYMENT, namespace=namespace, name="demo-hintsvc", change=change, by=somebody)
    with disturbance.wrong(stage):
        stage.operator.program.resume()
        await asyncio.sleep(hold_s)
    ended = time.monotonic()
    await stage.converged(namespace)
    _ = stage.operator.program.pid
    return time.monotonic() - ended


def _fault(fault: Fault) -> Callable[[Stage], AbstractContextManager[None]]:
    @contextmanager
    def wrong(stage: Stage) -> Iterator[None]:
        stage.proxy.cut_watches()
        with stage.proxy.wrong(fault):
            yield

    return wrong


@contextmanager
def _restarted(stage: Stage) -> Iterator[None]:
    """Kill the API server, and start it again at the end."""
    stage.site.plane.api.kill()
    yield
    stage.site.plane.api.start()
    stage.site.plane.wait_ready()


@contextmanager
def _without_space(stage: Stage) -> Iterator[None]:
    """Let etcd believe that its disk is full: it serves reads and deletions alone."""
    _alarm(stage, "ACTIVATE")
    yield
    _alarm(stage, "DEACTIVATE")


def _alarm(stage: Stage, action: str) -> None:
    body = json.dumps({"action": action, "memberID": "0", "alarm": "NOSPACE"}).encode()
    request = urllib.request.Request(f"{stage.site.plane.etcd_url}/v3/maintenance/alarm", data=body)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=_ETCD_S):  # noqa: S310 - likewise
        pass


@contextmanager
def _cut(stage: Stage) -> Iterator[None]:
    """Cut all watches again and again."""

    async def cut() -> None:
        while True:
            stage.proxy.cut_watches()
            await asyncio.sleep(1 / _CUTS_PER_S)

    cutting = asyncio.get_running_loop().create_task(cut())
    yield
    cutting.cancel()


DISTURBANCES: Final = (
    Disturbance(name="every request throttled (429, Retry-After)", wrong=_fault(THROTTLED)),
    Disturbance(name="every second request throttled", wrong=_fault(THROTTLED_BY_HALF)),
    Disturbance(name="watches expired (410 Gone)", wrong=_fault(EXPIRED)),
    Disturbance(name="watches cut five times a second", wrong=_cut),
    Disturbance(name="every write refused by etcd (500)", wrong=_fault(READ_ONLY)),
    Disturbance(name="every third write timed out in etcd (504)", wrong=_fault(TIMED_OUT)),
    Disturbance(name="every second write carried out, its answer lost", wrong=_fault(FORGETFUL)),
    Disturbance(name="every third connection broken", wrong=_fault(BROKEN)),
    Disturbance(name="every request 300 ms late", wrong=_fault(SLOW)),
    Disturbance(name="API server out of reach", wrong=lambda stage: stage.proxy.away()),
    Disturbance(name="etcd out of space, read-only", wrong=_without_space),
    Disturbance(name="API server killed and started again", wrong=_restarted),
)


async def disturbances(stage: Stage, *, hold_s: float) -> AsyncIterator[Figure]:
    """Measure how soon all is well after each disturbance."""
    await stage.create(_NAMESPACE)
    await stage.converged(_NAMESPACE)
    for disturbance in DISTURBANCES:
        # So that the operator does not take the next one for more of the same, and wait longer between attempts.
        await asyncio.sleep(_CALM_S)
        yield await _figure(stage, disturbance, hold_s=hold_s)
    await delete(stage, _NAMESPACE)


async def _figure(stage: Stage, disturbance: Disturbance, *, hold_s: float) -> Figure:
    try:
        took_s: float | None = await recovery_s(stage, _NAMESPACE, disturbance, hold_s=hold_s)
        value = f"as planned {took_s:.1f} s after its end"
    except BenchError as error:
        took_s, value = None, f"not as planned {error}"
    return Figure(
        name=f"Chaos: {disturbance.name}",
        value=value,
        goal=f"< {MAX_RECOVERY_S:.0f} s",
        met=took_s is not None and took_s < MAX_RECOVERY_S,
        how=f"for {hold_s:.0f} s, in which an edit, a deleted Service and a scaled Deployment wait",
    )
