"""The registry of all figures of the gateway, and those that are of no room of it."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from tokenflow_api.serving.figures import Figures

REGISTRY = CollectorRegistry()
SERVING = Figures(REGISTRY)

RATE = Gauge("llm_client_token_rate", "Tokens per second acknowledged by the readers.", ["tenant"], registry=REGISTRY)
REPORTS = Counter(
    "tokenflow_gateway_reports",
    "Telemetry batches by outcome: sent, refused, failed, dropped.",
    ["outcome"],
    registry=REGISTRY,
)
HINT_AGE = Gauge("tokenflow_gateway_hint_age_seconds", "Age of the newest snapshot.", registry=REGISTRY)
GENERATION = Gauge("tokenflow_config_generation", "Generation of the policy that is served.", registry=REGISTRY)
CONFIG_REJECTED = Counter("tokenflow_config_rejected", "Runtime configs refused whole.", registry=REGISTRY)
