"""What this process has counted of its readers, and the spans that wait for their export."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from tokenflow_api.serving.spans import Spans
from tokenflow_gateway.metrics import REGISTRY, SERVING
from tokenflow_gateway.telling.audience import Audience
from tokenflow_gateway.telling.operations import Operations

AUDIENCE: Final = Audience()
REGISTRY.register(AUDIENCE)
OPERATIONS: Final = Operations()
SPANS: Final = Spans(dropped=SERVING.spans_dropped.inc)


def exported() -> Iterator[Metric]:
    """Yield what goes to the OTLP endpoint: what Prometheus is told, and OpenTelemetry's own figures."""
    yield from REGISTRY.collect()
    yield from OPERATIONS.collect()
