"""Leave to send a request to an upstream, and what became of it."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.call import Head
from tokenflow_gateway.upstream.member import Member


class Lease:
    """Leave to send one request to an upstream; a context manager that gives it back."""

    def __init__(self, member: Member, *, freed: Callable[[], None]) -> None:
        self._member = member
        self._freed = freed
        self._pass = member.breaker.enter()
        self._told = False
        self._open = True
        member.in_flight += 1

    @property
    def upstream(self) -> Upstream:
        """Where to send it."""
        return self._member.spec

    @property
    def probe(self) -> bool:
        """Whether this request shows if others may be sent: they are refused until its outcome is known."""
        return self._pass.probe

    def answered(self, head: Head) -> None:
        """Report that the upstream answered; nothing happens the second time."""
        if not self._told:
            self._tell(self._member.saw_head(head))

    def failed(self) -> None:
        """Report that the upstream was out of reach or too slow; or that it broke off, after it had answered."""
        self._tell("BrokeOff" if self._told else "Failed")

    def release(self) -> None:
        """Give it back; nothing happens the second time."""
        if not self._open:
            return
        self._open = False
        self._member.in_flight -= 1
        if not self._told:
            self._member.breaker.left(self._pass)
            metrics.outcome(self.upstream.name, "Left").inc()
        self._freed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _tell(self, outcome: str) -> None:
        self._told = True
        metrics.outcome(self.upstream.name, outcome).inc()
        if outcome in {"Failed", "BrokeOff"}:
            self._member.breaker.failed(self._pass)
        else:
            self._member.breaker.succeeded(self._pass)
