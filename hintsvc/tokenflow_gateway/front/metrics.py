"""What the listener counts."""

from prometheus_client import Counter, Gauge

from tokenflow_gateway.metrics import REGISTRY

CONNECTIONS = Gauge(
    "tokenflow_gateway_connections", "Connections of readers, by the version of HTTP.", ["http"], registry=REGISTRY
)
BROKEN = Counter(
    "tokenflow_gateway_broken_requests",
    "Requests that are no HTTP, or beyond the bounds of a head, by the status of the answer.",
    ["status"],
    registry=REGISTRY,
)
CUT = Counter(
    "tokenflow_gateway_connections_cut",
    "Connections that the gateway broke off: slow head, stuck reader, flood, deadline.",
    ["reason"],
    registry=REGISTRY,
)
FAILED = Counter(
    "tokenflow_gateway_exchanges_failed", "Exchanges that broke off by a fault of ours.", registry=REGISTRY
)
