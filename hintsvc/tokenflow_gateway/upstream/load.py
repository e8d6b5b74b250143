"""How busy an engine is, out of the metrics that vLLM and SGLang expose."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SAMPLE: Final = re.compile(
    rb"^(?:vllm:(?P<vllm>num_requests_waiting|num_requests_running|kv_cache_usage_perc|gpu_cache_usage_perc)"
    rb"|sglang:(?P<sglang>num_queue_reqs|num_running_reqs|token_usage))(?:\{[^\n]*\})?[ \t]+(?P<value>[^\s]+)",
    re.MULTILINE,
)
_WAITING: Final = frozenset((b"num_requests_waiting", b"num_queue_reqs"))
_RUNNING: Final = frozenset((b"num_requests_running", b"num_running_reqs"))


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLoad:
    """What an engine says of itself; absent where it says nothing.

    Attributes:
        waiting: requests in its queue, over all engines behind the address.
        running: requests that it works on, likewise.
        kv_cache: share of the KV cache in use, 0 to 1, of the fullest engine.
    """

    waiting: float | None = None
    running: float | None = None
    kv_cache: float | None = None


UNKNOWN: Final = EngineLoad()


def parse_load(exposition: bytes) -> EngineLoad:
    """Return what metrics in Prometheus' text format say of the load."""
    waiting, running, kv_cache = [], [], []
    for name, value in _samples(exposition):
        if name in _WAITING:
            waiting.append(value)
        elif name in _RUNNING:
            running.append(value)
        else:
            kv_cache.append(min(value, 1.0))
    return EngineLoad(
        waiting=sum(waiting) if waiting else None,
        running=sum(running) if running else None,
        kv_cache=max(kv_cache) if kv_cache else None,
    )


def _samples(exposition: bytes) -> Iterator[tuple[bytes, float]]:
    for match in _SAMPLE.finditer(exposition):
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if math.isfinite(value) and value >= 0:
            yield match["vllm"] or match["sglang"], value
