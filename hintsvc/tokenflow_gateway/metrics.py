"""The gateway's own figures."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tokenflow_api.serving.figures import Figures

REGISTRY = CollectorRegistry()
SERVING = Figures(REGISTRY)

_GAPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter(
    "tokenflow_gateway_requests", "Requests by tenant and status.", ["tenant", "status"], registry=REGISTRY
)
STREAMS = Gauge("tokenflow_gateway_streams", "Streams open.", ["tenant"], registry=REGISTRY)
TOKENS = Counter("tokenflow_gateway_tokens", "Tokens streamed.", ["tenant"], registry=REGISTRY)
RATE = Gauge("llm_client_token_rate", "Tokens per second acknowledged by the readers.", ["tenant"], registry=REGISTRY)
FIRST_TOKEN = Histogram(
    "tokenflow_gateway_time_to_first_token_seconds",
    "From the request to its first token.",
    buckets=_GAPS,
    registry=REGISTRY,
)
GAP = Histogram(
    "tokenflow_gateway_event_gap_seconds", "Between two events of a stream.", buckets=_GAPS, registry=REGISTRY
)
CANCELLED = Counter("tokenflow_gateway_cancelled", "Streams whose reader left.", ["tenant"], registry=REGISTRY)
UPSTREAM_ERRORS = Counter(
    "tokenflow_gateway_upstream_errors", "Failures of upstreams.", ["upstream", "code"], registry=REGISTRY
)
REPORTS = Counter(
    "tokenflow_gateway_reports",
    "Telemetry batches by outcome: sent, refused, failed, dropped.",
    ["outcome"],
    registry=REGISTRY,
)
HINT_AGE = Gauge("tokenflow_gateway_hint_age_seconds", "Age of the newest snapshot.", registry=REGISTRY)
GENERATION = Gauge("tokenflow_config_generation", "Generation of the policy that is served.", registry=REGISTRY)
CONFIG_REJECTED = Counter("tokenflow_config_rejected", "Runtime configs refused whole.", registry=REGISTRY)
