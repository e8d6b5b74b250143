"""Remembers which readers' networks want batches, so that a new stream need not find out at its readers' cost."""

from dataclasses import dataclass
from typing import Final

HOLD_S: Final = 10.0
"""How long a network is remembered after a stream to it last wanted batches."""
MOST_HOLD_S: Final = 120.0
"""The longest: twice as long each time that it wants them again soon."""
MOST_NETWORKS: Final = 4096


@dataclass(slots=True)
class _Strain:
    share: float
    until: float
    hold_s: float


class Strains:
    """What the streams to each network wanted of late, for others to it, whoever's they are: they share the way.

    It makes nobody slower: where a network is remembered, streams are batched. Beyond ``MOST_NETWORKS`` networks that
    want batches at once, others are not remembered.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Strain] = {}

    def tell(self, network: str, share: float, *, now: float) -> None:
        """Take in that a stream to ``network`` wants batches of that share of the longest delay."""
        known = self._known.get(network)
        if known is None:
            if len(self._known) >= MOST_NETWORKS:
                self._forget(now)
            if len(self._known) < MOST_NETWORKS:
                self._known[network] = _Strain(share, now + HOLD_S, HOLD_S)
            return
        if now >= known.until:
            forgiven = now >= known.until + HOLD_S
            known.hold_s = HOLD_S if forgiven else min(MOST_HOLD_S, 2 * known.hold_s)
            known.share = share
        known.share = max(share, known.share)
        known.until = now + known.hold_s

    def share(self, network: str, *, now: float) -> float:
        """Return the share of the longest delay that tokens to ``network`` wait for one another."""
        known = self._known.get(network)
        return known.share if known is not None and now < known.until else 0.0

    def _forget(self, now: float) -> None:
        self._known = {network: known for network, known in self._known.items() if now < known.until + HOLD_S}
