"""What a replica is busy with, for administrators: numbers and names of its own, no secrets and no tenants' data."""

import os
import resource
import time
from pathlib import Path
from typing import Final

from aiohttp import web

from tokenflow_api._base import WireModel
from tokenflow_api.hints import ModelReport
from tokenflow_api.runtime import Role
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE, Service
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.quota.desk import Desk


class ConfigState(WireModel):
    """The config in force, where it came from, and why a newer one was refused."""

    generation: int
    policy_uid: str
    origin: str
    error: str
    tenants: int


class LeaderState(WireModel):
    """Whether this replica leads, and the snapshot that it serves; ``age_seconds`` since it arrived."""

    leading: bool
    term: int = 0
    version: int = 0
    generation: int = 0
    age_seconds: float | None = None
    hints: int = 0
    model: ModelReport | None = None


class QueueState(WireModel):
    """What waits, and how much of it: each of these is bounded."""

    subscribers: int
    batches_waiting: int
    spans_waiting: int


class LeaseState(WireModel):
    """What this replica may still admit of a tenant without asking, and how many requests wait for the answer."""

    tenant: str
    requests: int
    tokens: int
    waiting: int


class RedisState(WireModel):
    """Whether Redis answers, how fast, and who it says leads."""

    reachable: bool
    error: str = ""
    round_trip_ms: float | None = None
    leader: str = ""


class ProcessState(WireModel):
    """The process: its memory at present and at most, and the processor time that it took."""

    pid: int
    resident_bytes: int
    most_resident_bytes: int
    cpu_seconds: float


class DebugState(WireModel):
    """One replica from the inside."""

    replica: str
    draining: bool
    config: ConfigState
    leadership: LeaderState
    queues: QueueState
    leases: list[LeaseState]
    redis: RedisState
    process: ProcessState


async def get_state(request: web.Request) -> web.Response:
    """Answer with the state of this replica."""
    service = request.app[SERVICE]
    caller = service.require(request, Role.OPERATOR)
    service.audit.done("GET /debug/state", subject=caller.subject)
    config, snapshot = service.config(), service.view.snapshot
    state = DebugState(
        replica=service.leadership.holder,
        draining=service.draining.is_set(),
        config=ConfigState(
            generation=config.generation,
            policy_uid=config.uid,
            origin=service.configuration.origin or "",
            error=service.configuration.error,
            tenants=len(config.spec.tenants),
        ),
        leadership=LeaderState(
            leading=service.leader.term is not None,
            term=snapshot.term if snapshot else 0,
            version=snapshot.version if snapshot else 0,
            generation=snapshot.generation if snapshot else 0,
            age_seconds=service.view.age_s,
            hints=len(snapshot.hints) if snapshot else 0,
            model=snapshot.model if snapshot else None,
        ),
        queues=QueueState(
            subscribers=len(service.feed),
            batches_waiting=len(service.intake),
            spans_waiting=len(SPANS),
        ),
        leases=[_lease(tenant, desk) for tenant, desk in service.quotas.desks.items()],
        redis=await _redis(service),
        process=_process(),
    )
    return web.json_response(text=state.model_dump_json(), headers={"Cache-Control": "no-store"})


def _lease(tenant: str, desk: Desk) -> LeaseState:
    requests, tokens = desk.leased()
    return LeaseState(tenant=tenant, requests=requests, tokens=tokens, waiting=desk.waiting)


async def _redis(service: Service) -> RedisState:
    asked = time.perf_counter()
    try:
        leader = await service.leadership.leader()
    except StoreError as error:
        return RedisState(reachable=False, error=str(error))
    return RedisState(reachable=True, round_trip_ms=round((time.perf_counter() - asked) * 1000, 3), leader=leader)


def _process() -> ProcessState:
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return ProcessState(
        pid=os.getpid(),
        resident_bytes=pages * resource.getpagesize(),
        most_resident_bytes=used.ru_maxrss * 1024,
        cpu_seconds=round(used.ru_utime + used.ru_stime, 3),
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/debug/state",
        handler=get_state,
        summary="Look into one replica: its config, leader, queues, Redis and memory.",
        reply=DebugState,
        problems=(401, 403, 503),
    ),
)
