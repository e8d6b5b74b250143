"""What the gateway shows of an upstream."""

from dataclasses import dataclass

from tokenflow_gateway.upstream.breaker import BreakerState


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamView:
    """What this gateway knows of an upstream, to be shown.

    Attributes:
        name: of the upstream.
        breaker: whether it is asked.
        in_flight: requests under way.
        most: how many those may be.
        rests_s: seconds for which it is left alone.
        waiting: requests in its queue; ``None`` is not known.
        running: requests that it works on; ``None`` is not known.
        kv_cache: share of its KV cache in use; ``None`` is not known.
        saturation: how full it is, 1 is full; ``None`` is not known.
        health: of the path to it, 0 to 1; ``None`` is not known.
        models: that it is known to serve.
    """

    name: str
    breaker: BreakerState
    in_flight: int
    most: int
    rests_s: float
    waiting: float | None
    running: float | None
    kv_cache: float | None
    saturation: float | None
    health: float | None
    models: tuple[str, ...]
