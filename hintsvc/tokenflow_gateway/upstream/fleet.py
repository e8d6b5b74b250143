"""All upstreams of the policy: which one a request goes to, and what became of it."""

import asyncio
import math
import time
from collections.abc import Callable, Collection
from typing import Final

from tokenflow_api.pacing_policy import Gateway, LoadBalancing
from tokenflow_gateway.errors import ModelNotFoundError, NoUpstreamError
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.budget import RetryBudget
from tokenflow_gateway.upstream.choice import order
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.lease import Lease
from tokenflow_gateway.upstream.member import NO_INSIGHT, Insight, Member
from tokenflow_gateway.upstream.models import ServedModel
from tokenflow_gateway.upstream.polls import POLLS, follow
from tokenflow_gateway.upstream.view import UpstreamView

_NAMED: Final = 20
"""Models that a message names."""


class Fleet:
    """The upstreams, as the config in force has them.

    Args:
        client: to look at them with.
        insight: returns what the hints say of an upstream by its name.
        clock: monotonic, in seconds.

    Attributes:
        budget: bears further tries.
    """

    def __init__(
        self,
        client: UpstreamClient,
        *,
        insight: Callable[[str], Insight] = lambda _: NO_INSIGHT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = RetryBudget()
        self._client = client
        self._insight = insight
        self._clock = clock
        self._balancing = LoadBalancing.PREFIX_AFFINITY
        self._adopted: Gateway | None = None
        self._members: dict[str, Member] = {}
        self._pollers: dict[Member, list[asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def adopt(self, gateway: Gateway) -> None:
        """Go by this part of the config from now on; requests at upstreams that are gone end as they would have."""
        if gateway is self._adopted:
            return
        self._adopted, self._balancing = gateway, gateway.load_balancing
        before, self._members = self._members, {}
        for spec in gateway.upstreams:
            member = before.pop(spec.name, None)
            # Behind another URL stands another server, of which nothing is known yet.
            if member is None or member.spec.url != spec.url:
                member = Member(spec, clock=self._clock)
                member.show()
            member.spec = spec
            self._members[spec.name] = member
        for name in before:
            metrics.forget(name)
        self._client.keep(tuple(gateway.upstreams))
        self._changed.set()
        self._tell()

    def take(self, model: str | None, *, prefix: bytes | None, exclude: Collection[str] = ()) -> Lease | None:
        """Return leave to ask the best upstream for a model; ``None`` while all that serve it are full.

        Args:
            model: as the request names it; ``None`` goes to any upstream.
            prefix: prompts with the same one go to the same upstream; ``None`` goes by load.
            exclude: names of upstreams that were asked already.

        Raises:
            ModelNotFoundError: no upstream serves the model; the message names some that are served.
            NoUpstreamError: all that serve it have failed too often lately.
        """
        passing = self._passing(model)
        key = None if prefix is None else b"%b\0%b" % ((model or "").encode(errors="surrogatepass"), prefix)
        states = [
            member.state(self._insight(member.spec.name)) for member in passing if member.spec.name not in exclude
        ]
        names = order(states, balancing=self._balancing, key=key)
        return Lease(self._members[names[0]], freed=self._tell) if names else None

    def check(self, model: str | None) -> None:
        """Tell in time that nobody could answer: before a request costs its tenant anything.

        Raises:
            ModelNotFoundError: no upstream serves the model; the message names some that are served.
            NoUpstreamError: all that serve it have failed too often lately.
        """
        self._passing(model)

    def on_room(self, told: Callable[[], None]) -> None:
        """Have ``told`` called whenever ``take`` may find room where it did not before, and at times without need."""
        self._listeners.append(told)

    def models(self) -> list[ServedModel]:
        """Return all models that are known to be served, by name."""
        served: dict[str, ServedModel] = {}
        for member in self._members.values():
            for name, model in member.served.items():
                served.setdefault(name, model)
        return sorted(served.values(), key=lambda model: model.name)

    def view(self) -> list[UpstreamView]:
        """Return what is known of each upstream."""
        return [self._view(member) for member in self._members.values()]

    async def run(self) -> None:
        """Look at the upstreams for ever."""
        try:
            while True:
                self._changed.clear()
                await self._poll(set(self._members.values()))
                await self._until_changed()
        finally:
            await self._poll(set())

    async def _until_changed(self) -> None:
        changed = asyncio.create_task(self._changed.wait())
        tasks = {changed, *(task for tasks in self._pollers.values() for task in tasks)}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        for task in done:
            # A poller never ends but by a fault, which whoever owns this one has to see.
            task.result()

    async def _poll(self, members: set[Member]) -> None:
        """Have pollers for these, and for no other."""
        gone = [task for member in self._pollers.keys() - members for task in self._pollers.pop(member)]
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        for member in members - self._pollers.keys():
            self._pollers[member] = [
                asyncio.create_task(follow(poll, self._client, member, seen=self._tell)) for poll in POLLS
            ]

    def _passing(self, model: str | None) -> list[Member]:
        serving = [member for member in self._members.values() if member.serves(model)]
        if not serving:
            raise self._unknown(model)
        passing = [member for member in serving if member.breaker.passes]
        if not passing:
            raise _none_passes(model, serving)
        return passing

    def _tell(self) -> None:
        for told in self._listeners:
            told()

    def _unknown(self, model: str | None) -> ModelNotFoundError:
        served = [one.name for one in self.models()]
        words = ", ".join(served[:_NAMED]) + (f" or {len(served) - _NAMED} more" if len(served) > _NAMED else "")
        return ModelNotFoundError(f"no upstream serves model {model!r}: write one of {words}", param="model")

    def _view(self, member: Member) -> UpstreamView:
        state = member.state(self._insight(member.spec.name))
        return UpstreamView(
            name=state.name,
            breaker=member.breaker.state,
            in_flight=state.in_flight,
            most=state.most,
            rests_s=max(member.rests_s, member.breaker.rests_s),
            waiting=state.waiting,
            running=member.load.running,
            kv_cache=state.kv_cache,
            saturation=state.saturation,
            health=state.health,
            models=tuple(member.served),
        )


def _none_passes(model: str | None, serving: list[Member]) -> NoUpstreamError:
    wait_s = min(member.breaker.rests_s for member in serving)
    names = ", ".join(member.spec.name for member in serving)
    return NoUpstreamError(
        f"no upstream answers for {f'model {model!r}' if model else 'this'}: {names} failed too often lately and is"
        " asked again in a moment",
        retry_after_s=max(1, math.ceil(wait_s)),
    )
