"""One upstream, and all that this gateway knows of it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.breaker import Breaker, BreakerState
from tokenflow_gateway.upstream.call import Head
from tokenflow_gateway.upstream.choice import UpstreamState
from tokenflow_gateway.upstream.load import UNKNOWN, EngineLoad
from tokenflow_gateway.upstream.models import ServedModel

LOAD_STALE_S: Final = 5.0
MODELS_STALE_S: Final = 60.0
LONGEST_REST_S: Final = 30.0
"""An upstream is left alone for no longer, whatever its Retry-After says."""
_BREAKER_NUMBERS: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_BUSY: Final = frozenset((HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Insight:
    """What others know of an upstream: the hints for the paths that lead to it.

    Attributes:
        health: of the path and its GPUs, 0 to 1; ``None`` is not known.
        gpu_saturation: how full its GPUs are, 1 is full; ``None`` is not known.
    """

    health: float | None = None
    gpu_saturation: float | None = None


NO_INSIGHT: Final = Insight()


class Member:
    """An upstream of the fleet.

    Args:
        spec: of the policy.
        clock: monotonic, in seconds.

    Attributes:
        spec: of the policy, as it is now.
        breaker: decides whether it is asked.
        in_flight: requests under way.
    """

    def __init__(self, spec: Upstream, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.breaker = Breaker(clock=clock)
        self.in_flight = 0
        self._clock = clock
        self._load = UNKNOWN
        self._load_at = -math.inf
        self._in_flight_then = 0
        self._listed: dict[str, ServedModel] = {}
        self._listed_at = -math.inf
        self._rests_until = -math.inf

    def saw_load(self, load: EngineLoad) -> None:
        """Take in what the engine's metrics say."""
        self._load, self._load_at, self._in_flight_then = load, self._clock(), self.in_flight

    def saw_models(self, models: tuple[ServedModel, ...]) -> None:
        """Take in what it lists."""
        self._listed = {model.name: model for model in models}
        self._listed_at = self._clock()

    def saw_head(self, head: Head) -> str:
        """Take in how it answered, and return the outcome's name: ``Answered``, ``Failed`` or ``Busy``.

        One that names a time to come back is busy, not broken: it is left alone until then.
        """
        if head.status in _BUSY and (rest_s := _retry_after_s(head)) is not None:
            self._rests_until = self._clock() + min(rest_s, LONGEST_REST_S)
            return "Busy"
        broken = head.status >= HTTPStatus.INTERNAL_SERVER_ERROR and head.status != HTTPStatus.NOT_IMPLEMENTED
        return "Failed" if broken else "Answered"

    @property
    def served(self) -> dict[str, ServedModel]:
        """The models that it is known to serve, by name; empty where nothing is known.

        They are those of the policy and the adapters of these that it listed lately; where the policy names none, all
        that it listed.
        """
        listed = self._listed if self._clock() - self._listed_at < MODELS_STALE_S else {}
        named = self.spec.models
        if not named:
            return listed
        adapters = {name: model for name, model in listed.items() if model.parent in named}
        return {name: listed.get(name, ServedModel(name=name)) for name in named} | adapters

    def serves(self, model: str | None) -> bool:
        """Whether it may be asked for a model; one of which nothing is known may be asked for any."""
        if model is None or model in self.spec.models:
            return True
        served = self.served
        return model in served or not served

    @property
    def load(self) -> EngineLoad:
        """What its metrics said last; nothing once that is old."""
        return self._load if self._clock() - self._load_at < LOAD_STALE_S else UNKNOWN

    @property
    def rests_s(self) -> float:
        """Seconds for which it asked to be left alone."""
        return max(0.0, self._rests_until - self._clock())

    def state(self, insight: Insight) -> UpstreamState:
        """Return what a choice goes by."""
        load = self.load
        waiting = load.waiting
        if waiting:
            # Where some wait already, what was sent since then waits behind them until the next look.
            waiting = max(0.0, waiting + self.in_flight - self._in_flight_then)
        return UpstreamState(
            name=self.spec.name,
            weight=self.spec.weight,
            in_flight=self.in_flight,
            most=self.spec.max_concurrent_requests,
            resting=self.rests_s > 0,
            waiting=waiting,
            kv_cache=load.kv_cache,
            gpu=insight.gpu_saturation,
            health=insight.health,
        )

    def show(self) -> None:
        """Have the gauges tell of this upstream from now on, each time that they are read."""
        name = self.spec.name
        metrics.IN_FLIGHT.labels(name).set_function(lambda: self.in_flight)
        metrics.BREAKER.labels(name).set_function(lambda: _BREAKER_NUMBERS[self.breaker.state])
        metrics.SATURATION.labels(name).set_function(self._saturation)

    def _saturation(self) -> float:
        saturation = self.state(NO_INSIGHT).saturation
        return math.nan if saturation is None else saturation


def _retry_after_s(head: Head) -> float | None:
    """Return the seconds of ``Retry-After``; a date, which engines do not send, counts as none."""
    text = head.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - in years
