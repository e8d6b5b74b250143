"""Remembers which paths want batches, so that a new stream need not find out at its readers' cost."""

from dataclasses import dataclass
from typing import Final

from tokenflow_gateway.stream.routes import Route

HOLD_S: Final = 10.0
"""How long a path is remembered after a stream on it last wanted batches."""
MOST_HOLD_S: Final = 120.0
"""The longest: twice as long each time that it wants them again soon."""
MOST_PATHS: Final = 4096


@dataclass(slots=True)
class _Strain:
    share: float
    until: float
    hold_s: float


class Strains:
    """What the streams of late wanted on each path, for the others on it.

    It makes nobody slower: a path that is remembered is batched. Beyond ``MOST_PATHS`` paths that want batches at once,
    others are not remembered.
    """

    def __init__(self) -> None:
        self._known: dict[Route, _Strain] = {}

    def tell(self, route: Route, share: float, *, now: float) -> None:
        """Take in that a stream on ``route`` wants batches of that share of the longest delay."""
        known = self._known.get(route)
        if known is None:
            if len(self._known) >= MOST_PATHS:
                self._forget(now)
            if len(self._known) < MOST_PATHS:
                self._known[route] = _Strain(share, now + HOLD_S, HOLD_S)
            return
        if now >= known.until:
            forgiven = now >= known.until + HOLD_S
            known.hold_s = HOLD_S if forgiven else min(MOST_HOLD_S, 2 * known.hold_s)
            known.share = share
        known.share = max(share, known.share)
        known.until = now + known.hold_s

    def share(self, route: Route, *, now: float) -> float:
        """Return the share of the longest delay that tokens on ``route`` wait for one another."""
        known = self._known.get(route)
        return known.share if known is not None and now < known.until else 0.0

    def _forget(self, now: float) -> None:
        self._known = {route: known for route, known in self._known.items() if now < known.until + HOLD_S}
