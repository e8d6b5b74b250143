"""OpenTelemetry's metrics of generative AI, by operation and model, for the collector of ``spec.observability``.

Names, units and bounds are those of the semantic conventions (``gen_ai.*``, in development). They are not among the
figures that Prometheus is told, which say the same by tenant.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tokenflow_api.serving.buckets import Buckets
from tokenflow_gateway.stream.usage import Usage

MAX_MODELS: Final = 64
"""Pairs of operation and model told apart since the start; models beyond it are put together."""
OTHER: Final = "~other"
PROVIDER: Final = "openai"
"""The form of the API: what serves it behind an upstream's address is not known."""

_DURATION_S: Final = tuple(0.01 * 2**power for power in range(14))
_FIRST_TOKEN_S: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_PER_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS: Final = tuple(4**power for power in range(14))


class Operation(NamedTuple):
    """What was asked of which model."""

    name: str
    model: str


@dataclass(slots=True)
class _Figures:
    first_token: Buckets = field(default_factory=lambda: Buckets(_FIRST_TOKEN_S))
    per_token: Buckets = field(default_factory=lambda: Buckets(_PER_TOKEN_S))
    input_tokens: Buckets = field(default_factory=lambda: Buckets(_TOKENS))
    output_tokens: Buckets = field(default_factory=lambda: Buckets(_TOKENS))
    durations: dict[str, Buckets] = field(default_factory=dict)


class Operations(Collector):
    """What all operations took; collected over copies, as an export has a thread of its own."""

    def __init__(self) -> None:
        self._figures: dict[Operation, _Figures] = {}

    def add(
        self,
        operation: Operation,
        *,
        duration_s: float,
        first_token_s: float | None,
        per_token_s: float | None,
        usage: Usage | None,
        error: str,
    ) -> None:
        """Count an operation that is over.

        Args:
            operation: what it was.
            duration_s: from the request to the end of its answer.
            first_token_s: from the request to the first token of a stream.
            per_token_s: mean time between two tokens of a stream.
            usage: its tokens.
            error: code of what went wrong, of few values; empty for nothing.
        """
        figures = self._of(operation)
        figures.durations.setdefault(error, Buckets(_DURATION_S)).add(duration_s)
        if first_token_s is not None:
            figures.first_token.add(first_token_s)
        if per_token_s is not None:
            figures.per_token.add(per_token_s)
        if usage is not None:
            figures.input_tokens.add(usage.input_tokens)
            figures.output_tokens.add(usage.output_tokens)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, labelled by the conventions' attributes."""
        durations = _family("gen_ai.server.request.duration", "Time to answer.", "s", "error.type")
        first_token = _family("gen_ai.server.time_to_first_token", "Time to the first token.", "s")
        per_token = _family("gen_ai.server.time_per_output_token", "Time of each further token.", "s")
        tokens = _family("gen_ai.client.token.usage", "Tokens used.", "{token}", "gen_ai.token.type")
        for operation, figures in list(self._figures.items()):
            of = [*operation, PROVIDER]
            for error, took in list(figures.durations.items()):
                durations.add_metric([*of, error], took.cumulative(), sum_value=took.total)
            first_token.add_metric(of, figures.first_token.cumulative(), sum_value=figures.first_token.total)
            per_token.add_metric(of, figures.per_token.cumulative(), sum_value=figures.per_token.total)
            for kind, used in (("input", figures.input_tokens), ("output", figures.output_tokens)):
                tokens.add_metric([*of, kind], used.cumulative(), sum_value=used.total)
        yield from (durations, first_token, per_token, tokens)

    def _of(self, operation: Operation) -> _Figures:
        found = self._figures.get(operation)
        if found is None:
            if len(self._figures) >= MAX_MODELS:
                operation = operation._replace(model=OTHER)
            found = self._figures.setdefault(operation, _Figures())
        return found


def _family(name: str, documentation: str, unit: str, *labels: str) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        name, documentation, labels=["gen_ai.operation.name", "gen_ai.request.model", "gen_ai.provider.name", *labels]
    )
    # Given to the constructor it would have to be a part of the name.
    family.unit = unit
    return family
