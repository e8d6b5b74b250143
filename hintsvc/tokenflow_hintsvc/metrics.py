"""The hint service's own figures, under the names that users know."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tokenflow_api.serving.figures import Figures
from tokenflow_hintsvc.observability.tally import Tally

REGISTRY = CollectorRegistry()
SERVING = Figures(REGISTRY)

ANSWERS = Tally()
REGISTRY.register(ANSWERS)

BATCHES = Counter(
    "tokenflow_ingest_batches",
    "Telemetry batches by outcome: stored, late, duplicate, rejected, failed, full.",
    ["outcome"],
    registry=REGISTRY,
)
UNBOUNDED = Counter(
    "tokenflow_ingest_unbounded_clocks",
    "Batches whose sender's clock nothing bounded: they count as built when they arrived.",
    registry=REGISTRY,
)
UNREADABLE = Counter(
    "tokenflow_unreadable_batches", "Stored batches that the leader could not decode.", registry=REGISTRY
)
STORE_ERRORS = Counter(
    "tokenflow_store_errors", "Failures to reach Redis, by the task that met them.", ["task"], registry=REGISTRY
)
OVERWRITTEN = Counter("tokenflow_stream_overwritten", "Snapshots that slow subscribers never got.", registry=REGISTRY)
LEADER = Gauge("tokenflow_leader", "1 while this replica computes the hints.", registry=REGISTRY)
ROUND = Histogram(
    "tokenflow_leader_round_seconds",
    "Time that a round of the leader takes, from telemetry to the published snapshot.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    registry=REGISTRY,
)
ROUND_FAILURES = Counter(
    "tokenflow_leader_round_failures", "Rounds of the leader that failed by a fault of their own.", registry=REGISTRY
)
GENERATION = Gauge("tokenflow_config_generation", "Generation of the policy that is served.", registry=REGISTRY)
CONFIG_REJECTED = Counter("tokenflow_config_rejected", "Runtime configs refused whole.", registry=REGISTRY)
CONFIG_REFUSED = Gauge(
    "tokenflow_config_refused",
    "1 while the newest runtime config is refused and an older one served.",
    registry=REGISTRY,
)
SECRETS_WATCHED = Gauge(
    "tokenflow_secrets_watched",
    "Secrets of tenants whose changes count at once; the others count within a minute.",
    registry=REGISTRY,
)
WAITING = Gauge("tokenflow_waiting", "What waits in a bounded queue: batches, spans.", ["queue"], registry=REGISTRY)
SNAPSHOT_AGE = Gauge(
    "tokenflow_snapshot_age_seconds", "Time since the newest snapshot arrived; -1 before the first.", registry=REGISTRY
)
SUBSCRIBERS = Gauge("tokenflow_subscribers", "Open hint streams.", registry=REGISTRY)
HEALTH = Gauge("tokenflow_health_ratio", "Health of all paths together, 0 to 1.", registry=REGISTRY)
MODEL_INFO = Gauge(
    "tokenflow_model_info", "1 for the learned model that this leader runs.", ["version", "mode"], registry=REGISTRY
)
MODEL_ERROR = Gauge(
    "tokenflow_model_mae_us",
    "Mean absolute error of late over the next ten windows: of the model, and of the median of the last ten.",
    ["forecaster"],
    registry=REGISTRY,
)
MODEL_DRIFTED = Gauge(
    "tokenflow_model_drifted", "1 while the law runs alone because the model no longer fits.", registry=REGISTRY
)
MODEL_DELAY = Gauge(
    "tokenflow_model_queue_delay_us",
    "Mean queueing delay of late: of tenants that the model acts for, and of the others.",
    ["arm"],
    registry=REGISTRY,
)
MODEL_INFERENCE = Histogram(
    "tokenflow_model_inference_seconds",
    "Time to forecast all paths with a new window.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
MODEL_SKIPPED = Counter(
    "tokenflow_model_skipped", "Forecasts left out because the one before took too long.", registry=REGISTRY
)
TENANT_RATE = Gauge(
    "tokenflow_hint_tokens_per_second", "Rate that one stream may run at.", ["tenant"], registry=REGISTRY
)
BROKEN = Counter("tokenflow_broken_requests", "Requests that are no HTTP, or do not end.", registry=REGISTRY)
QUOTA_CHECKS = Counter(
    "tokenflow_quota_checks",
    "Requests that asked for room: Admitted, or why not; a word after Shadow: is what Enforce would have said.",
    ["tenant", "outcome"],
    registry=REGISTRY,
)
QUOTA_COMMITS = Counter(
    "tokenflow_quota_commits",
    "Commits of reservations: counted, repeated, expired, unknown_tenant.",
    ["outcome"],
    registry=REGISTRY,
)
QUOTA_LOCAL = Counter(
    "tokenflow_quota_local", "Checks decided by failureMode, without the shared quota.", registry=REGISTRY
)
QUOTA_ASKED = Counter(
    "tokenflow_quota_asked", "Checks that waited for the shared quota; all others were decided here.", registry=REGISTRY
)
QUOTA_ROUND_FAILURES = Counter(
    "tokenflow_quota_round_failures", "Rounds of the quotas that failed by a fault of their own.", registry=REGISTRY
)
QUOTA_REACHABLE = Gauge("tokenflow_quota_reachable", "1 while the shared quota can be reached.", registry=REGISTRY)
USAGE_REQUESTS = Counter("tokenflow_usage_requests", "Requests admitted.", ["tenant"], registry=REGISTRY)
USAGE_TOKENS = Counter("tokenflow_usage_tokens", "Tokens committed.", ["tenant", "direction"], registry=REGISTRY)
USAGE_SECONDS = Counter("tokenflow_usage_seconds", "Time of committed requests.", ["tenant"], registry=REGISTRY)
USAGE_COST = Counter(
    "tokenflow_usage_cost_micros",
    "Cost of committed tokens, in millionths of the currency.",
    ["tenant", "currency"],
    registry=REGISTRY,
)
USAGE_LOST = Counter(
    "tokenflow_usage_lost", "Additions to usage that found no place while Redis was away.", registry=REGISTRY
)
