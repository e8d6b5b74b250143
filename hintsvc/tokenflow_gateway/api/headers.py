"""What the gateway itself says in the headers of an answer."""

from tokenflow_api.hints import Hint
from tokenflow_gateway.admission.ticket import Ticket
from tokenflow_gateway.stream.bounds import Pace
from tokenflow_gateway.upstream.trial import Attempt


def of_request(ticket: Ticket, attempt: Attempt, *, trace_id: str, overhead_s: float) -> dict[str, str]:
    """Return the headers of any answer of an upstream.

    Args:
        ticket: that let the request in.
        attempt: that succeeded.
        trace_id: of the request.
        overhead_s: that the request spent in the gateway before it was sent on, waiting for room apart.
    """
    headers = {
        **ticket.headers,
        "x-tokenflow-upstream": attempt.upstream.name,
        "x-tokenflow-overhead-ms": f"{overhead_s * 1000:.1f}",
        "x-tokenflow-queue-ms": f"{ticket.queued_s * 1000:.0f}",
        "x-tokenflow-trace-id": trace_id,
    }
    if ticket.max_tokens is not None:
        headers["x-tokenflow-max-tokens"] = str(ticket.max_tokens)
    return headers


def of_stream(pace: Pace, hint: Hint | None) -> dict[str, str]:
    """Return the headers that a stream has besides: how it runs at its start."""
    rate = "unpaced" if pace.tokens_per_second is None else f"{pace.tokens_per_second:.1f}"
    return {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
        "x-tokenflow-rate": rate,
        "x-tokenflow-batch": str(pace.batch_size),
        "x-tokenflow-state": hint.state if hint else "Unknown",
        "x-tokenflow-bound": pace.bound,
    }
