"""What a rollout is decided by, and what is decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tokenflow_api.telemetry_agent import Rollout, RolloutStage, RolloutStatus
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.rollout.failures import failure
from tokenflow_operator.plan.rollout.gates import Evidence
from tokenflow_operator.plan.rollout.sites import Site
from tokenflow_operator.plan.rollout.waves import allowed_unavailable, is_available, is_excused, outdated, replaceable

REST_S: Final = 5.0
"""Most seconds until the next look at a rollout that is under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that a rollout is decided by.

    Attributes:
        spec: how to roll out.
        wanted: revision that the resource asks for.
        good: revision that proved itself last, empty before any did.
        can_go_back: the template of the good revision is kept.
        undone: the wanted revision is one that a person does not want.
        paused: a person wants nothing to be replaced for now.
        condemned: why the wanted revision is not tried, as the status has it; empty where it may be.
        before: how the rollout of the wanted revision stood, as the status has it.
        standing_s: seconds since it last came further.
        sites: the nodes.
        desired: number of nodes that should run an agent, those that are not among the sites too.
        is_seen: the DaemonSet's controller has seen its present template, so that all of them are known.
        nodes: by name; ``None`` where they cannot be read.
        evidence: what the hint services know.
        now: time of day.
    """

    spec: Rollout
    wanted: str
    good: str
    can_go_back: bool
    undone: bool
    paused: bool
    condemned: str
    before: RolloutStatus
    standing_s: float
    sites: tuple[Site, ...]
    desired: int
    is_seen: bool
    nodes: Mapping[str, Manifest] | None
    evidence: Evidence
    now: datetime

    @property
    def is_guarded(self) -> bool:
        """Whether a failure of the wanted revision would be a loss: another one has proved itself."""
        return self.good not in ("", self.wanted)

    @property
    def has_begun(self) -> bool:
        """Whether an agent of the wanted revision has been started by this attempt."""
        return self.before.stage is RolloutStage.WAVES or bool(self.before.canary_nodes)

    @property
    def allowed_unavailable(self) -> int:
        """Number of nodes that may be without a ready agent at once."""
        return allowed_unavailable(self.spec, self.desired)

    def replaceable(self, target: str, among: tuple[Site, ...] | None = None) -> tuple[Site, ...]:
        """Return the sites whose agent may now give way to one of the target revision."""
        candidates = outdated(self.sites if among is None else among, target)
        return replaceable(self.sites, candidates, target=target, desired=self.desired, spec=self.spec, now=self.now)

    def failed(self) -> list[Site]:
        """Return the sites where the wanted revision has failed."""
        return [s for s in self.sites if s.revision == self.wanted and failure(s, self.spec, self.now)]

    def is_over(self, target: str, *, but: int = 0) -> bool:
        """Return whether every node that counts runs the target revision well, ``but`` so many that have failed."""
        waiting = [
            site
            for site in self.sites
            if not (site.revision == target and is_available(site, target, self.now))
            and not is_excused(site, self.spec, self.now)
        ]
        unknown = self.desired - len(self.sites)
        return self.is_seen and not outdated(self.sites, target) and len(waiting) + unknown <= but


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a rollout does next.

    Attributes:
        stage: how far it has come.
        target: revision that agents get which are started now.
        replace: sites whose agent is to end.
        message: how far it has come, or why it stopped.
        canary_nodes: nodes that try the wanted revision first.
        failed: the wanted revision has failed.
        is_over: nothing is left to do.
        again_s: seconds until time alone may change the decision; ``None`` where it cannot.
    """

    stage: RolloutStage
    target: str
    message: str
    replace: tuple[Site, ...] = ()
    canary_nodes: tuple[str, ...] = ()
    failed: bool = False
    is_over: bool = False
    again_s: float | None = REST_S
