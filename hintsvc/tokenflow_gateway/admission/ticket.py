"""A request that was let in, until what it used is told."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from tokenflow_api.hints import Hint
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.quota import CommitRequest
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.admission.commits import Commits
from tokenflow_gateway.admission.local import Hold, LocalQuotas
from tokenflow_gateway.admission.queue import RequestQueue
from tokenflow_gateway.stream.usage import Usage

T = TypeVar("T")

MOST_TOKENS: Final = 10**9
"""No more can be told to the hint service of one request."""
NOTHING: Final = Usage(input_tokens=0, output_tokens=0, measured=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A request that asks to be let in.

    Attributes:
        tenant: whose.
        model: that it names.
        input_tokens: of its prompt, as estimated.
        max_tokens: of one completion; ``None`` where it names no bound.
        completions: that it asks for.
        stream: whether it is answered by a stream.
        hint: returns the present hint for the tenant; ``None`` while there is none.
    """

    tenant: Tenant
    model: str
    input_tokens: int
    max_tokens: int | None = None
    completions: int = 1
    stream: bool
    hint: Callable[[], Hint | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserved:
    """What was reserved for a request.

    Attributes:
        reservation: of the hint service; empty where this gateway decided alone.
        hold: of this gateway's share.
        until: when the reservation ends without a commit, by the gateway's clock.
        headers: ``x-ratelimit-*``, for the answer.
    """

    reservation: str
    hold: Hold
    until: float
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """What is to be reserved for a request that went ahead of its check.

    Attributes:
        reserved: asks for it, and returns it, or raises what refuses the request; told whether an upstream is at work.
        abandon: called where nothing is to be reserved after all.
    """

    reserved: Callable[[bool], Awaitable[Reserved]]
    abandon: Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Where tickets tell what was used."""

    commits: Commits
    local: LocalQuotas
    clock: Callable[[], float] = time.monotonic


class Ticket:
    """Lets one request in. It must be committed or released; what comes after the first of these does nothing.

    Args:
        wanted: the request.
        grant: what is reserved for it, or will be.
        since: when it came.
        max_tokens: to lower its ``max_tokens`` to.
        queue: where it waits for an upstream.
        ledger: where to tell what was used.
        ended: called once at the end.

    Attributes:
        max_tokens: to set in the request; ``None`` leaves it as it is.
        queued_s: time that it waited for room so far.
    """

    def __init__(
        self,
        wanted: Wanted,
        grant: Reserved | Pending,
        *,
        since: float,
        max_tokens: int | None,
        queue: RequestQueue,
        ledger: Ledger,
        ended: Callable[[], None],
    ) -> None:
        self.max_tokens = max_tokens
        self.queued_s = 0.0
        self._wanted = wanted
        self._grant: Reserved | Pending | None = grant
        self._since = since
        self._queue = queue
        self._ledger = ledger
        self._ended = ended
        self._open = True

    @property
    def headers(self) -> Mapping[str, str]:
        """``x-ratelimit-*``, for the answer; none before the request is confirmed."""
        return self._grant.headers if isinstance(self._grant, Reserved) else {}

    async def confirm(self, *, at_work: bool = False) -> None:
        """Wait for the check, if the request went ahead of it. The reader must be sent nothing before.

        Args:
            at_work: whether an upstream reads the prompt meanwhile: a reader who leaves before the check is done pays
                for that, as by a commit.

        Raises:
            PostponedError: others come first: the request has to be let in anew, and to wait for its turn.
            GatewayError: it is refused, as by ``Door.admit``.
        """
        if isinstance(self._grant, Pending):
            pending, self._grant = self._grant, None
            self._grant = await pending.reserved(at_work)

    async def take(self, attempt: Callable[[], T | None], *, give_back: Callable[[T], None], lane: str = "") -> T:
        """Return an upstream, or whatever ``attempt`` returns: at once where there is room, else in turn.

        Args:
            attempt: takes a place, or returns ``None`` where there is no room; must not wait.
            give_back: called with a place that came too late: the reader left meanwhile.
            lane: of requests that want the same; by default those for the same model.

        Raises:
            QueueFullError: as many wait as may, and this request would go last.
            QueueTimeoutError: there was no room within the longest wait.
            GatewayError: as ``confirm``, for nobody waits who is refused.
        """
        lane = lane or f"model:{self._wanted.model}"
        place = self._queue.take_now(attempt, lane=lane)
        if place is not None:
            return place
        started = self._ledger.clock()
        try:
            await self.confirm()
            return await self._queue.take(
                attempt, give_back=give_back, priority=self._wanted.tenant.priority, lane=lane, since=self._since
            )
        finally:
            self.queued_s += self._ledger.clock() - started

    def commit(self, usage: Usage, *, duration_s: float) -> None:
        """Tell what the request really took, however it ended.

        Args:
            usage: tokens.
            duration_s: that it ran for.
        """
        if not self._open:
            return
        self._open = False
        match self._grant:
            case Reserved():
                self._settle(self._grant, usage, duration_s=duration_s)
            case Pending():
                self._grant.abandon()
        self._ended()

    def release(self) -> None:
        """Tell that the request took nothing, where nothing was told before."""
        self.commit(NOTHING, duration_s=0.0)

    def _settle(self, reserved: Reserved, usage: Usage, *, duration_s: float) -> None:
        used = usage.input_tokens + usage.output_tokens
        self._ledger.local.settle(reserved.hold, used=used)
        if not reserved.reservation:
            metrics.UNCOUNTED.labels(self._wanted.tenant.name).inc(used)
            return
        done = CommitRequest(
            reservation=reserved.reservation,
            input_tokens=min(MOST_TOKENS, usage.input_tokens),
            output_tokens=min(MOST_TOKENS, usage.output_tokens),
            duration_ms=round(duration_s * 1000),
        )
        self._ledger.commits.add(done, life_s=reserved.until - self._ledger.clock())
