"""What the operator counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECONCILES: Final = Counter("tokenflow_operator_reconciles", "Reconcile passes by kind and result.", ["kind", "result"])
RECONCILE_SECONDS: Final = Histogram(
    "tokenflow_operator_reconcile_seconds",
    "Duration of a reconcile pass.",
    ["kind"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
REQUESTS: Final = Counter(
    "tokenflow_operator_kube_requests",
    "Requests to the Kubernetes API, ended watches included.",
    ["verb", "kind", "code"],
)
WRITES: Final = Counter(
    "tokenflow_operator_writes", "Successful writes to the Kubernetes API.", ["verb", "kind", "subresource"]
)
QUEUE_DEPTH: Final = Gauge("tokenflow_operator_queue_depth", "Keys that wait for a worker.")
EVENTS_SUPPRESSED: Final = Counter("tokenflow_operator_events_suppressed", "Repeated Events that were not written.")
EVENTS_FAILED: Final = Counter("tokenflow_operator_events_failed", "Events that the Kubernetes API did not take.")
LISTINGS: Final = Counter(
    "tokenflow_operator_listings", "Listings of whole kinds, and watches that broke, by result.", ["kind", "result"]
)
LEADER: Final = Gauge("tokenflow_operator_leader", "Whether this replica leads and writes.")
LEASE_FAILURES: Final = Counter("tokenflow_operator_lease_failures", "Attempts to read or write the Lease that failed.")
POLLS: Final = Counter("tokenflow_operator_hint_service_polls", "Questions to hint services by result.", ["result"])
UNSETTLED: Final = Counter(
    "tokenflow_operator_unsettled_applies", "Objects that were not as applied right after it.", ["kind"]
)
NOTIFICATIONS: Final = Counter(
    "tokenflow_operator_notifications",
    "Messages to receivers of alerts, and looks for their URLs that failed, by result: sent, failed.",
    ["type", "result"],
)
REVIEWS: Final = Counter("tokenflow_operator_admission_reviews", "Questions to the webhook by result.", ["result"])
CERTIFICATE_FAILURES: Final = Counter(
    "tokenflow_operator_certificate_failures", "Looks at the webhook's certificate that failed."
)
