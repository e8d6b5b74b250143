"""What tenants share: paths through one upstream to one destination class, taken together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from tokenflow_hintsvc.decide.figures import greatest, least, total
from tokenflow_hintsvc.decide.samples import Bottleneck, BottleneckSample, PathSample

MOST_UNSENT_S: Final = 60.0
"""A backlog is taken for no longer than this: where nothing is delivered any more it would be endless."""


def bottlenecks(samples: Iterable[PathSample]) -> dict[Bottleneck, BottleneckSample]:
    """Return one sample per bottleneck, over the paths that share it."""
    shared: defaultdict[Bottleneck, list[PathSample]] = defaultdict(list)
    for sample in samples:
        shared[sample.key.bottleneck].append(sample)
    return {bottleneck: _shared(paths) for bottleneck, paths in shared.items()}


def _shared(paths: Sequence[PathSample]) -> BottleneckSample:
    return BottleneckSample(
        at_ms=max(path.at_ms for path in paths),
        rtt_us=_mean_rtt_us(paths),
        rtt_min_us=least(path.rtt_min_us for path in paths),
        remembered_min_us=least(path.remembered_min_us for path in paths),
        retransmit_ratio=greatest(path.retransmit_ratio for path in paths),
        delivered_tokens_per_second=total(path.delivered_tokens_per_second for path in paths),
        delivered_bytes_per_second=total(path.delivered_bytes_per_second for path in paths),
        unsent_s=_unsent_s(paths),
        active_streams=sum(path.active_streams for path in paths),
    )


def _mean_rtt_us(paths: Iterable[PathSample]) -> float | None:
    weighed = [(path.rtt_us, max(1, path.active_streams)) for path in paths if path.rtt_us is not None]
    weight = sum(streams for _, streams in weighed)
    return sum(rtt * streams for rtt, streams in weighed) / weight if weight else None


def _unsent_s(paths: Sequence[PathSample]) -> float | None:
    unsent = total(path.unsent_bytes for path in paths)
    delivered = total(path.delivered_bytes_per_second for path in paths)
    if unsent is None or delivered is None:
        return None
    if not unsent:
        return 0.0
    return min(MOST_UNSENT_S, unsent / delivered) if delivered else MOST_UNSENT_S
