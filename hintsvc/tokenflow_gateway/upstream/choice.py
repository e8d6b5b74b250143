"""Which upstream to ask, out of what is known of each."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_api.pacing_policy import LoadBalancing
from tokenflow_gateway.upstream.affinity import ranked, share

QUEUE_THRESHOLD: Final = 5.0
KV_CACHE_THRESHOLD: Final = 0.8
"""Defaults of the Gateway API Inference Extension: an engine beyond them gains nothing from more requests."""
_CHOICE: Final = 2
"""Upstreams below which there is nothing to choose."""
_LEAST_HEALTH: Final = 0.1
"""An upstream of which bad is known keeps a little, or nobody would notice that it is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamState:
    """What is known of an upstream that serves the model and whose breaker passes.

    Attributes:
        name: of the upstream.
        weight: its share among equals.
        in_flight: requests of this gateway under way there.
        most: how many those may be.
        resting: whether it asked to be left alone for now; it is asked when no other has room.
        waiting: requests in the engine's queue; ``None`` is not known.
        kv_cache: share of its KV cache in use; ``None`` is not known.
        gpu: how full its GPUs are, 1 is full; ``None`` is not known.
        health: of the path to it and its GPUs, 0 to 1; ``None`` is not known.
    """

    name: str
    weight: int
    in_flight: int
    most: int
    resting: bool = False
    waiting: float | None = None
    kv_cache: float | None = None
    gpu: float | None = None
    health: float | None = None

    @property
    def saturation(self) -> float | None:
        """How full the engine is; from 1 on it takes no more. ``None`` is not known, which is not full."""
        known = [
            *([] if self.waiting is None else [self.waiting / QUEUE_THRESHOLD]),
            *([] if self.kv_cache is None else [self.kv_cache / KV_CACHE_THRESHOLD]),
            *([] if self.gpu is None else [self.gpu]),
        ]
        return max(known, default=None)

    @property
    def has_room(self) -> bool:
        """Whether it may be asked now."""
        return self.in_flight < self.most and (self.saturation or 0.0) < 1.0

    @property
    def worth(self) -> float:
        """Its weight, less what ails it."""
        return self.weight * (1.0 if self.health is None else max(_LEAST_HEALTH, self.health))

    @property
    def load(self) -> float:
        """What another request would meet, to compare upstreams by."""
        return (self.in_flight + 1) * (1.0 + (self.saturation or 0.0)) / self.worth


def order(
    states: Sequence[UpstreamState],
    *,
    balancing: LoadBalancing,
    key: bytes | None,
    uniform: Callable[[], float] = random.random,
) -> list[str]:
    """Return the names of the upstreams that have room, the one to ask first.

    Args:
        states: of those that serve the model.
        balancing: as the policy says.
        key: prompts with the same one go to the same upstream, as far as its load bears; ``None`` goes by load.
        uniform: draws from 0 up to 1.
    """
    names: list[str] = []
    for resting in (False, True):
        roomy = [state for state in states if state.has_room and state.resting is resting]
        if len(roomy) < _CHOICE:
            names += [state.name for state in roomy]
        elif balancing is LoadBalancing.PREFIX_AFFINITY and key is not None:
            names += _by_affinity(roomy, key)
        else:
            names += _by_load(roomy, uniform)
    return names


def _by_affinity(roomy: Sequence[UpstreamState], key: bytes) -> list[str]:
    """Rank by the key, those that have more than their share behind those that have not."""
    by_name = {state.name: state for state in roomy}
    in_flight = sum(state.in_flight for state in roomy)
    worth = sum(state.worth for state in roomy)

    def beyond(name: str) -> bool:
        state = by_name[name]
        return state.in_flight >= share(state.worth, weights=worth, in_flight=in_flight)

    # All are ranked by weight alone: what ails an upstream lessens its share, and moves no prompt that it has room for.
    return sorted(ranked({state.name: state.weight for state in roomy}, key), key=beyond)


def _by_load(roomy: Sequence[UpstreamState], uniform: Callable[[], float]) -> list[str]:
    """Put the better of two drawn ones first (Mitzenmacher, *The Power of Two Choices*, 2001), then all by load."""
    by_load = sorted(roomy, key=lambda state: state.load)
    if len(by_load) > 2:  # noqa: PLR2004 - of two the better one is the better of two drawn ones
        first = min(_two_of(len(by_load), uniform))
        by_load.insert(0, by_load.pop(first))
    return [state.name for state in by_load]


def _two_of(number: int, uniform: Callable[[], float]) -> tuple[int, int]:
    """Draw two different numbers below ``number``."""
    first, second = int(uniform() * number), int(uniform() * (number - 1))
    return first, second + (second >= first)
