"""What the gateway counts of its upstreams."""

from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Gauge

from tokenflow_gateway.metrics import REGISTRY

CONNECTIONS: Final = Counter(
    "tokenflow_gateway_upstream_connections",
    "Requests by the connection that they took: new, reused, or renewed because the reused one had just been closed.",
    ["upstream", "how"],
    registry=REGISTRY,
)
OUTCOMES: Final = Counter(
    "tokenflow_gateway_upstream_requests",
    "Requests to upstreams by outcome: Answered, Failed, Busy, or Left before there was one; and BrokeOff, of those"
    " that were answered.",
    ["upstream", "outcome"],
    registry=REGISTRY,
)
ERRORS: Final = Counter(
    "tokenflow_gateway_upstream_errors",
    "Failures of upstreams, by the code that readers see where no other answers.",
    ["upstream", "code"],
    registry=REGISTRY,
)
RETRIES: Final = Counter(
    "tokenflow_gateway_upstream_retries",
    "Further tries, by the upstream that made them necessary.",
    ["upstream"],
    registry=REGISTRY,
)
RETRIES_REFUSED: Final = Counter(
    "tokenflow_gateway_upstream_retries_refused",
    "Further tries that the budget did not bear, so that an outage is not multiplied.",
    registry=REGISTRY,
)
HEDGES: Final = Counter(
    "tokenflow_gateway_upstream_hedges",
    "Requests asked of a second upstream, by which one answered first: First, Second, or None of them.",
    ["winner"],
    registry=REGISTRY,
)
POLLS_FAILED: Final = Counter(
    "tokenflow_gateway_upstream_polls_failed",
    "Looks at an upstream's metrics or models that failed.",
    ["upstream", "what"],
    registry=REGISTRY,
)
IN_FLIGHT: Final = Gauge(
    "tokenflow_gateway_upstream_in_flight", "Requests open at an upstream.", ["upstream"], registry=REGISTRY
)
BREAKER: Final = Gauge(
    "tokenflow_gateway_upstream_breaker_state",
    "0 closed, 1 half open, 2 open: the upstream rests.",
    ["upstream"],
    registry=REGISTRY,
)
SATURATION: Final = Gauge(
    "tokenflow_gateway_upstream_saturation",
    "How full the engine is; 1 and above takes no more. NaN where it is not known.",
    ["upstream"],
    registry=REGISTRY,
)


outcome: Final = lru_cache(maxsize=256)(OUTCOMES.labels)
"""Returns the counter of an upstream and an outcome, which each request asks for."""


def forget(upstream: str) -> None:
    """Show nothing more of an upstream that is gone; what was counted stays."""
    for gauge in (IN_FLIGHT, BREAKER, SATURATION):
        gauge.remove(upstream)
