"""Tells of each request what became of it: to the figures of its tenant, to those of its model, and as spans."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from tokenflow_api.pacing_policy import Price, Tenant
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.spans import Attributes, Kind, Span, new_span_id
from tokenflow_api.serving.trace import Trace
from tokenflow_gateway.identity.bounds import Asked
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.stream.usage import Usage
from tokenflow_gateway.telling.attributes import Values, of_request, of_stream, of_usage
from tokenflow_gateway.telling.audience import DENIED
from tokenflow_gateway.telling.figures import AUDIENCE, OPERATIONS, SPANS
from tokenflow_gateway.telling.operations import OTHER, Operation
from tokenflow_gateway.telling.progress import Progress
from tokenflow_gateway.telling.promise import Promise

LEFT: Final = 499
"""Stands for the status of an answer that nobody waited for, as nginx has it."""


class Tellings:
    """Begins to tell of requests.

    Args:
        config: the policy.
        clock: monotonic, in seconds; the one that streams go by.
    """

    def __init__(self, config: RuntimeConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another policy from now on."""
        self._promise = Promise.of(config.spec.gateway.objectives)

    def begin(self, tenant: Tenant, asked: Asked, of: Trace, *, received_at: float) -> "Telling":
        """Tell of a request whose tenant is known.

        Args:
            tenant: whose it is.
            asked: for what.
            of: trace that it belongs to.
            received_at: when it arrived, by the clock.
        """
        return Telling(tenant, asked, of, promise=self._promise, received_at=received_at, clock=self._clock)

    def answered(self, tenant: Tenant, route: str, status: int) -> None:
        """Count a request that asks no model."""
        AUDIENCE.of(tenant.name).requests[route, status] += 1

    def refused(self, route: str, status: int) -> None:
        """Count a request that was refused before its tenant was known."""
        AUDIENCE.of(DENIED).requests[route, status] += 1


class Telling:
    """One request.

    Attributes:
        progress: told of all that a stream's reader is sent.
    """

    def __init__(
        self,
        tenant: Tenant,
        asked: Asked,
        of: Trace,
        *,
        promise: Promise,
        received_at: float,
        clock: Callable[[], float],
    ) -> None:
        self._tenant = tenant
        self._asked = asked
        self._trace = of
        self._received_at = received_at
        self._clock = clock
        self._readers = AUDIENCE.of(tenant.name)
        self._server_span, self._span = new_span_id(), new_span_id()
        self._upstream = ""
        self._tries = 0
        self._queued_s = 0.0
        self._streaming = False
        self._over = False
        self.progress = Progress(self._readers, received_at=received_at, promise=promise)

    @property
    def traceparent(self) -> str:
        """The header by which an upstream goes on with the trace."""
        return self._trace.child(self._span).traceparent

    @property
    def _operation(self) -> Operation:
        # Only an upstream tells that a model exists: readers may make up any number of names.
        return Operation(self._asked.kind.operation, self._asked.model if self._upstream else OTHER)

    def attempted(self, upstream: str, *, tries: int, queued_s: float) -> None:
        """Note which upstream answered, after how many tries and how long in the queue."""
        self._upstream, self._tries, self._queued_s = upstream, tries, queued_s
        self._readers.queue.add(queued_s)
        if self._asked.stream and not self._streaming:
            self._streaming = True
            self._readers.streams += 1

    def left(self, usage: Usage | None = None) -> None:
        """Note that the reader left, where nothing else has ended the request yet.

        Args:
            usage: what an upstream did for it, if any.
        """
        self.end(status=LEFT, usage=usage, code="reader_left", why=Why.READER_LEFT)

    def end(self, *, status: int, usage: Usage | None = None, code: str = "", why: Why | None = None) -> None:
        """Tell what became of the request; the first call counts.

        Args:
            status: of the answer.
            usage: its tokens, if any.
            code: of what went wrong; empty for nothing.
            why: a stream ended; ``None`` for an answer in one piece.
        """
        if self._over:
            return
        self._over = True
        now = self._clock()
        readers, progress = self._readers, self.progress
        readers.requests[self._asked.kind, status] += 1
        readers.streams -= self._streaming
        if usage is not None:
            readers.usage.update(input=usage.input_tokens, output=usage.output_tokens)
            self._charge(usage, self._tenant.price)
        if why is not None and self._asked.stream:
            readers.verdicts[progress.end(why, now=now)] += 1
            readers.cancelled += why is Why.READER_LEFT
        failed = code or (str(status) if status >= HTTPStatus.BAD_REQUEST else "")
        OPERATIONS.add(
            self._operation,
            duration_s=now - self._received_at,
            first_token_s=progress.first_token_s,
            per_token_s=progress.per_token_s,
            usage=usage,
            error=failed,
        )
        self._trace_it(status=status, usage=usage, failed=failed, took_s=now - self._received_at)

    def _charge(self, usage: Usage, price: Price | None) -> None:
        if price is not None:
            self._readers.costs[price.currency] += (
                usage.input_tokens * price.input_micros_per_million_tokens
                + usage.output_tokens * price.output_micros_per_million_tokens
            )

    def _trace_it(self, *, status: int, usage: Usage | None, failed: str, took_s: float) -> None:
        if not SPANS.wanted or not self._trace.sampled:
            return
        ended = time.time_ns()
        SPANS.add(
            Span(
                name=" ".join(self._operation),
                trace=self._trace.child(self._server_span),
                began_unix_ns=ended - round(took_s * 1e9),
                ended_unix_ns=ended,
                attributes=self._attributes(usage, failed=failed),
                kind=Kind.CLIENT,
                failed=bool(failed),
                span_id=self._span,
            )
        )
        SPANS.answered(
            self._trace, method="POST", route=self._asked.kind, status=status, took_s=took_s, span_id=self._server_span
        )

    def _attributes(self, usage: Usage | None, *, failed: str) -> Attributes:
        own: Values = {
            "tokenflow.tenant": self._tenant.name,
            "tokenflow.upstream": self._upstream,
            "tokenflow.tries": self._tries,
            "tokenflow.queued_seconds": self._queued_s,
        }
        error: Values = {"error.type": failed} if failed else {}
        return of_request(self._asked) | own | of_usage(usage) | of_stream(self.progress) | error
