"""A clock that stands still, and a hint service that says what it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.hintsvc.support import runtime
from tokenflow_api.hints import Admission, Hint, PathState, Source
from tokenflow_api.modes import Mode
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitReply, CommitRequest, Limit, Refusal
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.admission.door import Door
from tokenflow_gateway.admission.ticket import Wanted
from tokenflow_gateway.errors import QuotaUnavailableError


@dataclass
class Clock:
    """A monotonic clock that stands still unless it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def reply(refusal: Refusal | None = None, *, wait_ms: int = 0) -> AdmitReply:
    return AdmitReply(
        admitted=refusal is None,
        reservation="" if refusal else "r1",
        refusal=refusal,
        retry_after_ms=wait_ms,
        requests=Limit(limit=60, remaining=59, reset_ms=1000),
        tokens=Limit(limit=150_000, remaining=149_900, reset_ms=360_000),
        reserved_tokens=100,
        streams_left=50,
    )


@dataclass
class Service:
    """Stands in for ``QuotaClient``."""

    replies: list[AdmitReply] = field(default_factory=list)
    away: bool = False
    asked: list[AdmitRequest] = field(default_factory=list)
    commits: list[CommitRequest] = field(default_factory=list)

    @property
    def reachable(self) -> bool:
        return not self.away

    async def admit(self, asked: AdmitRequest) -> AdmitReply:
        self.asked.append(asked)
        if self.away:
            raise QuotaUnavailableError("away")
        return self.replies.pop(0) if self.replies else reply()

    async def commit(self, done: CommitRequest) -> CommitReply | None:
        if self.away:
            raise QuotaUnavailableError("away")
        self.commits.append(done)
        return CommitReply(committed=True)


def policy(**spec: object) -> RuntimeConfig:
    """Two tenants: gold of priority 100, bronze of priority 10; fields of ``gateway`` are added to it."""
    gateway = {"upstreams": [{"name": "llama", "url": "http://llama"}]}
    fields = spec.pop("gateway", {})
    assert isinstance(fields, dict)
    tenants = [
        {"name": "gold", "priority": 100, "requestsPerMinute": 60, "maxTokensPerRequest": 1000},
        {"name": "bronze", "priority": 10, "requestsPerMinute": 60, "maxTokensPerRequest": 1000},
    ]
    return runtime(**({"tenants": tenants} | spec | {"gateway": gateway | fields}))


def door(service: Service, config: RuntimeConfig, *, clock: Callable[[], float]) -> Door:
    return Door(service, config=config, clock=clock)  # type: ignore[arg-type]


def tenant(config: RuntimeConfig, name: str = "gold") -> Tenant:
    return next(one for one in config.spec.tenants if one.name == name)


def wanted(config: RuntimeConfig, name: str = "gold", **fields: object) -> Wanted:
    base: dict[str, object] = {
        "model": "llama-3",
        "input_tokens": 10,
        "max_tokens": 90,
        "stream": True,
        "hint": lambda: None,
    }
    return Wanted(tenant=tenant(config, name), **(base | fields))  # type: ignore[arg-type]


def hint(admission: Admission = Admission.ADMIT, *, retry_after_ms: int = 0, max_tokens: int | None = None) -> Hint:
    return Hint(
        tenant="gold",
        tokens_per_second=40.0,
        batch_size=1,
        batch_delay_ms=0,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=Mode.ENFORCE,
        admission=admission,
        retry_after_ms=retry_after_ms,
        max_tokens_hint=max_tokens,
    )
