"""Figures of admission."""

from prometheus_client import Counter, Gauge, Histogram

from tokenflow_gateway.metrics import REGISTRY

ADMISSIONS = Counter(
    "tokenflow_gateway_admissions",
    "Requests by what admission said: Admitted, the code of a refusal, or Shadow: and that code.",
    ["tenant", "outcome"],
    registry=REGISTRY,
)
CHECK = Histogram(
    "tokenflow_gateway_quota_check_seconds",
    "Time that the hint service took to answer for a quota.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    registry=REGISTRY,
)
CHECK_FAILURES = Counter(
    "tokenflow_gateway_quota_check_failures", "Checks that the hint service did not answer.", registry=REGISTRY
)
AHEAD = Counter(
    "tokenflow_gateway_quota_ahead",
    "Requests let in ahead of their check, by what it said: Admitted, Refused, Postponed.",
    ["outcome"],
    registry=REGISTRY,
)
LOCAL = Counter(
    "tokenflow_gateway_quota_local",
    "Checks that failureMode decided here, without the hint service.",
    registry=REGISTRY,
)
REACHABLE = Gauge("tokenflow_gateway_quota_reachable", "1 while the hint service answers checks.", registry=REGISTRY)
COMMITS = Counter(
    "tokenflow_gateway_quota_commits",
    "Commits by outcome: counted, kept (by the hint service, until Redis is back), unknown, refused, expired, dropped.",
    ["outcome"],
    registry=REGISTRY,
)
COMMITS_WAITING = Gauge("tokenflow_gateway_quota_commits_waiting", "Commits not delivered yet.", registry=REGISTRY)
UNCOUNTED = Counter(
    "tokenflow_gateway_quota_uncounted_tokens",
    "Tokens of requests that were admitted without the hint service, which no usage counts.",
    ["tenant"],
    registry=REGISTRY,
)
QUEUE_TIME = Histogram(
    "tokenflow_gateway_queue_seconds",
    "Time that requests waited for room, by how it ended: served, shed, timeout, left.",
    ["outcome"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    registry=REGISTRY,
)
QUEUED = Gauge("tokenflow_gateway_queue_requests", "Requests that wait for room.", registry=REGISTRY)
LOOP_LAG = Gauge("tokenflow_gateway_loop_lag_seconds", "How late the event loop is.", registry=REGISTRY)
