"""The figures that all servers have, under the same names."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Figures:
    """Creates them in a server's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.denied = Counter(
            "tokenflow_denied", "Requests denied, by the code of the problem.", ["code"], registry=registry
        )
        self.key_expiry = Gauge(
            "tokenflow_api_key_next_expiry_timestamp_seconds",
            "When the next API key of a tenant ends; nothing where none does.",
            ["tenant"],
            registry=registry,
        )
        self.expired_keys = Counter(
            "tokenflow_api_key_expired_uses",
            "Requests with an API key before or after its time.",
            ["tenant"],
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "tokenflow_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that is served with ends; 0 without one.",
            registry=registry,
        )
        self.certificates_refused = Counter(
            "tokenflow_tls_certificates_refused", "Certificates not taken in.", registry=registry
        )
        self.plain_http = Counter(
            "tokenflow_tls_plain_http",
            "Connections to a port of TLS that spoke plain HTTP, and were told so.",
            registry=registry,
        )
        self.otlp_duration = Gauge(
            "otlp_export_duration_seconds",
            "How long the last export to the OTLP endpoint took.",
            ["signal"],
            registry=registry,
        )
        self.otlp_exports = Counter(
            "tokenflow_otlp_exports",
            "Exports to the OTLP endpoint by outcome: sent, failed.",
            ["signal", "outcome"],
            registry=registry,
        )
        self.spans_dropped = Counter(
            "tokenflow_spans_dropped", "Spans beyond those that may wait for export.", registry=registry
        )
