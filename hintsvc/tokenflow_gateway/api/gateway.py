"""All that the handlers of requests work with, under the config in force."""

import asyncio
import time
from typing import Final

from tokenflow_api.destinations import destination_class
from tokenflow_api.drift import DRIFT_S
from tokenflow_api.hints import ALL_PATHS, Hint, Snapshot
from tokenflow_api.pacing_policy import Tenant
from tokenflow_api.quantities import amount
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.audit import Record
from tokenflow_api.windows import OTHER_CLASS
from tokenflow_client import HintFollower
from tokenflow_gateway.admission.door import Door
from tokenflow_gateway.front.exchange import Request
from tokenflow_gateway.identity.identify import Guard
from tokenflow_gateway.stream.guide import Guide, Told
from tokenflow_gateway.stream.limits import Limits, limits
from tokenflow_gateway.stream.registry import StreamRegistry
from tokenflow_gateway.stream.relief import Load
from tokenflow_gateway.stream.routes import Route
from tokenflow_gateway.stream.wheel import Wheel
from tokenflow_gateway.telling.tellings import Tellings
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.fleet import Fleet
from tokenflow_gateway.upstream.member import NO_INSIGHT, Insight

CLOCK: Final = time.monotonic
BODY_S: Final = 30.0
"""Time that a reader has to send its request."""


class Gateway:
    """The parts of a gateway.

    Args:
        config: to begin with; ``configure`` takes in later ones.
        follower: of the hints.
        guard: tells who asks.
        door: lets requests in.
        client: asks upstreams.
        tellings: record what becomes of requests.
        audit: records who was denied what.

    Attributes:
        config: in force.
        streams: that are open.
        draining: whether this gateway is about to go.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        *,
        follower: HintFollower,
        guard: Guard,
        door: Door,
        client: UpstreamClient,
        tellings: Tellings,
        audit: Record,
    ) -> None:
        self.follower = follower
        self.guard = guard
        self.door = door
        self.client = client
        self.tellings = tellings
        self.audit = audit
        self.fleet = Fleet(client, insight=self._insight)
        self.fleet.on_room(door.queue.wake)
        self.guide = Guide(limits=self._limits, told=self._told, clock=CLOCK, load=Load(clock=CLOCK))
        self.wheel = Wheel(clock=CLOCK, call_at=asyncio.get_running_loop().call_at)
        self.streams = StreamRegistry(wheel=self.wheel, guide=self.guide)
        self.draining = False
        self._judged: Snapshot | None = None
        self._health: dict[str, float] = {}
        self.configure(config)

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on."""
        self.config = config
        self._most_bytes = int(amount(config.spec.gateway.max_request_size))
        self._tenants = {tenant.name: tenant for tenant in config.spec.tenants}
        self.door.configure(config)
        self.fleet.adopt(config.spec.gateway)
        self.tellings.configure(config)

    async def body(self, request: Request) -> bytes:
        """Return the body of a request.

        Raises:
            TooLargeError: it is above the policy's bound.
            SlowRequestError: it did not arrive in time.
        """
        return await request.read(most=self._most_bytes, within_s=BODY_S)

    def hint(self, tenant: str, path: str = ALL_PATHS) -> Hint | None:
        """Return the hint for a path, or for the whole tenant, as it has drifted; ``None`` when there never was one."""
        fallback = float(self.config.spec.pacing.fallback_tokens_per_second)
        return self.follower.hint(tenant, path, fallback=fallback)

    def route(self, tenant: Tenant, *, upstream: str, address: str) -> Route:
        """Return the route of a stream to a reader at ``address``."""
        try:
            destination = destination_class(address)
        except ValueError:
            # Behind a UNIX socket, or a proxy that does not say.
            destination = OTHER_CLASS
        return Route(tenant.name, upstream, destination)

    def _limits(self) -> Limits:
        return limits(self.config.spec)

    def _told(self, route: Route) -> Told:
        tenant = self._tenants.get(route.tenant)
        quota = self.door.quota_rate(tenant, open_streams=self.streams.of(route.tenant)) if tenant else None
        return Told(hint=self.hint(route.tenant, route.path), lost=self._lost(), quota=quota)

    def _lost(self) -> bool:
        """Whether the hints have drifted all the way, and say nothing any more."""
        snapshot, age = self.follower.snapshot, self.follower.age_s
        return snapshot is not None and age is not None and age > snapshot.ttl_ms / 1000 + DRIFT_S

    def _insight(self, upstream: str) -> Insight:
        snapshot = self.follower.snapshot
        if snapshot is None or self._lost():
            return NO_INSIGHT
        if snapshot is not self._judged:
            self._judged, self._health = snapshot, _health_by_upstream(snapshot)
        return Insight(health=self._health.get(upstream))


def _health_by_upstream(snapshot: Snapshot) -> dict[str, float]:
    """Return the health of the worst path that leads to each upstream."""
    worst: dict[str, float] = {}
    for hint in snapshot.hints:
        upstream, separator, _ = hint.path.partition("/")
        if separator:
            worst[upstream] = min(hint.health, worst.get(upstream, 1.0))
    return worst
