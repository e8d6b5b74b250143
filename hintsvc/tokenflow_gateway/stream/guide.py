"""Says how a stream runs: the least of what its path's hint, its own connection and its tenant's quota bear."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from tokenflow_api.hints import Hint, PathState, Source
from tokenflow_api.windows import OTHER_CLASS
from tokenflow_gateway.stream.bounds import UNPACED, Bound, Pace
from tokenflow_gateway.stream.laws import SocketLaw, batch_size
from tokenflow_gateway.stream.limits import Limits
from tokenflow_gateway.stream.relief import Load
from tokenflow_gateway.stream.routes import Route
from tokenflow_gateway.stream.strains import Strains

GUARD: Final = 3.0
"""Target backlogs that a connection bears where a live hint steers its path."""
REFRESH_S: Final = 0.25
"""How long what was read of hints and quotas serves: hints are computed as often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What others say of a path.

    Attributes:
        hint: for it, as it has drifted; ``None`` when there never was one.
        lost: whether it is so old that it has drifted all the way, and says nothing any more.
        quota: tokens per second that the tenant's quota leaves each of its streams; ``None`` is no bound.
    """

    hint: Hint | None = None
    lost: bool = False
    quota: float | None = None


def pace(limits: Limits, told: Told, law: SocketLaw, *, strain: float = 0.0, held_back: bool = False) -> Pace:
    """Return how a stream runs.

    Args:
        limits: the policy's.
        told: what others say of its path.
        law: of its own connection.
        strain: share of the longest delay that others on its path want for batches, or this gateway itself.
        held_back: whether the connection took no more a moment ago: what waited for it is merged.
    """
    if not limits.enforce:
        return UNPACED
    rate, bound = _ceiling(limits, told)
    if law.rate is not None and law.rate < rate:
        rate, bound = law.rate, Bound.SOCKET
    if told.quota is not None and told.quota < rate:
        rate, bound = max(told.quota, limits.least), Bound.QUOTA
    hint = None if told.lost else told.hint
    size, delay_s = (hint.batch_size, hint.batch_delay_ms / 1000) if hint else (1, 0.0)
    batching = max(law.batching, strain)
    if batching:
        delay_s = max(delay_s, batching * limits.batch_delay_s)
        size = max(size, batch_size(rate, delay_s=delay_s, most=limits.batch_size))
    if held_back:
        size, delay_s = limits.batch_size, limits.batch_delay_s
    state = PathState.CONGESTED if law.congested else hint.state if hint else PathState.DEGRADED
    return Pace(tokens_per_second=rate, batch_size=size, batch_delay_s=delay_s, state=state, bound=bound)


def _ceiling(limits: Limits, told: Told) -> tuple[float, Bound]:
    """Return the rate that holds while the connection is clear and the quota is not spent."""
    if told.hint is None:
        return limits.fallback, Bound.FALLBACK
    if told.lost:
        return limits.most, Bound.NONE
    return told.hint.tokens_per_second, Bound.HINT


@dataclass(kw_only=True, slots=True)
class Guide:
    """Reads policy, hints and quotas for all streams, each at most once per ``REFRESH_S``.

    Attributes:
        limits: returns the policy's, at present.
        told: returns what others say of a route's path, at present.
        clock: monotonic, in seconds.
        load: of this gateway.
    """

    limits: Callable[[], Limits]
    told: Callable[[Route], Told]
    clock: Callable[[], float]
    load: Load
    _until: float = float("-inf")
    _limits: Limits | None = None
    _told: dict[Route, Told] = field(default_factory=dict)
    _clear: dict[Route, Pace] = field(default_factory=dict)
    _strains: Strains = field(default_factory=Strains)

    def limits_now(self) -> Limits:
        """Return the policy's limits."""
        if self._limits is None or self.clock() >= self._until:
            self._until = self.clock() + REFRESH_S
            self.load.look()
            self._limits = self.limits()
            self._told.clear()
            self._clear.clear()
        return self._limits

    def pace(self, route: Route, law: SocketLaw, *, held_back: bool = False) -> Pace:
        """Return how a stream of ``route`` runs."""
        limits = self.limits_now()
        told = self._read(route, limits)
        if law.rate is None and not law.batching and not held_back:
            return self._clear[route]
        return self._pace(route, limits, told, law, held_back=held_back)

    def socket_limits(self, route: Route) -> Limits:
        """Return the limits by which a connection of ``route`` paces itself.

        Where a live hint steers the queue of the path to the policy's target, by the tenants' weights, the
        connection only guards against more: a law of its own with the same target would act first, and for all alike.
        """
        limits = self.limits_now()
        told = self._read(route, limits)
        hint = None if told.lost else told.hint
        if hint is None or hint.source is not Source.LIVE or hint.state is not PathState.CONGESTED:
            return limits
        return replace(limits, target_s=GUARD * limits.target_s)

    def strained(self, route: Route, share: float) -> None:
        """Take in that a stream of ``route`` wants batches of that share of the longest delay.

        Readers whose network is not known share no way that anybody knows of.
        """
        if route.destination_class != OTHER_CLASS:
            self._strains.tell(route.destination_class, share, now=self.clock())

    def _read(self, route: Route, limits: Limits) -> Told:
        told = self._told.get(route)
        if told is None:
            told = self._told[route] = self.told(route)
            self._clear[route] = self._pace(route, limits, told, SocketLaw())
        return told

    def _pace(self, route: Route, limits: Limits, told: Told, law: SocketLaw, *, held_back: bool = False) -> Pace:
        strain = max(self._strains.share(route.destination_class, now=self.clock()), self.load.relief.share)
        return pace(limits, told, law, strain=strain, held_back=held_back)
