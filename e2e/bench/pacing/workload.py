"""Who asks for what and when: arrivals and lengths by published distributions, from a seed.

Lengths are lognormal, as the conversations of the Azure LLM inference trace of 2023 are (Patel et al., Splitwise, ISCA
2024): a median of 129 tokens and a mean of 211. Arrivals are a Poisson process, or a gamma process whose gaps vary more
than an exponential's, as BurstGPT (Wang et al., arXiv 2401.17644) found of conversations.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MEDIAN_TOKENS: Final = 129
MEAN_TOKENS: Final = 211
_SIGMA: Final = math.sqrt(2 * math.log(MEAN_TOKENS / MEDIAN_TOKENS))
_LEAST_TOKENS: Final = 8
_SEEDS: Final = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request for a stream.

    Attributes:
        at_s: when it is made, since the run began.
        tokens: how many are asked for.
        seed: what the upstream's timings come from.
        tenant: who asks.
    """

    at_s: float
    tokens: int
    seed: int
    tenant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """A process of arrivals.

    Attributes:
        per_second: mean rate.
        variation: coefficient of variation of the gaps: 1 is a Poisson process, more comes in bursts.
        most_tokens: longest answer that is asked for.
    """

    per_second: float
    variation: float = 1.0
    most_tokens: int = 600

    def asks(self, *, seconds: float, seed: int, tenants: Sequence[str]) -> Iterator[Ask]:
        """Yield the requests of ``seconds``, the tenants in turn: the same ones for the same seed."""
        chance = random.Random(seed)  # noqa: S311 - a load, not a secret
        shape = self.variation**-2
        at_s, number = 0.0, 0
        while at_s < seconds:
            length = chance.lognormvariate(math.log(MEDIAN_TOKENS), _SIGMA)
            yield Ask(
                at_s=at_s,
                tokens=round(min(self.most_tokens, max(_LEAST_TOKENS, length))),
                seed=chance.randrange(1, _SEEDS),
                tenant=tenants[number % len(tenants)],
            )
            at_s += chance.gammavariate(shape, 1 / (self.per_second * shape))
            number += 1


def steady(*, streams: int, tokens: int, over_s: float, seed: int, tenants: Sequence[str]) -> list[Ask]:
    """Return as many requests, evenly spread over ``over_s`` seconds, all for as many tokens."""
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    return [
        Ask(
            at_s=over_s * number / streams,
            tokens=tokens,
            seed=chance.randrange(1, _SEEDS),
            tenant=tenants[number % len(tenants)],
        )
        for number in range(streams)
    ]
