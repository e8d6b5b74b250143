"""One request on its way through the gateway."""

from dataclasses import dataclass

from tokenflow_api.serving.trace import Trace
from tokenflow_gateway.front.exchange import Answer, Request
from tokenflow_gateway.identity.identify import Identity
from tokenflow_gateway.telling.tellings import Telling


@dataclass(kw_only=True, slots=True)
class Visit:
    """A request whose sender is known.

    Attributes:
        request: that came.
        answer: to it.
        identity: who sent it.
        trace: that it belongs to.
        received_at: when it came, by the monotonic clock.
        telling: records what becomes of it, once it is known what it asks for.
    """

    request: Request
    answer: Answer
    identity: Identity
    trace: Trace
    received_at: float
    telling: Telling | None = None

    @property
    def target(self) -> str:
        """Path and query, as they go to an upstream."""
        request = self.request
        return f"{request.path}?{request.query}" if request.query else request.path
