"""What the rollout of a TelemetryAgent does next.

A pure function of the situation. What it decides is written to the status before it is acted on, so that an operator
that is stopped anywhere goes on as if nothing had been.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry_agent import Rollout, RolloutStage, RolloutStatus
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.rollout.canary import choose
from tokenflow_operator.plan.rollout.failures import failure
from tokenflow_operator.plan.rollout.gates import Evidence, verdict
from tokenflow_operator.plan.rollout.sites import SETTLED_S, Site
from tokenflow_operator.plan.rollout.waves import (
    allowed_unavailable,
    is_available,
    is_excused,
    outdated,
    replaceable,
)

REST_S: Final = 5.0
"""Most seconds until the next look at a rollout that is under way."""
_ENDING_S: Final = 120.0
"""Seconds that old agents may take to end, on top of what new ones may take to begin."""
_STEP_S: Final = 5
"""Seconds by which a canary's time is told: each change is a write of the status."""


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

    def replaceable(self, target: str, among: tuple[Site, ...] | None = None) -> tuple[Site, ...]:
        """Return the sites whose agent may now give way to one of the target revision."""
        candidates = outdated(self.sites if among is None else among, target)
        return replaceable(self.sites, candidates, target=target, desired=self.desired, spec=self.spec, now=self.now)

    def is_over(self, target: str, *, but: int = 0) -> bool:
        """Return whether every node that counts runs the target revision well, ``but`` so many that have failed."""
        waiting = [
            site
            for site in self.sites
            if not (site.revision == target and is_available(site, target, self.now))
            and not is_excused(site, self.spec, self.now)
        ]
        return not outdated(self.sites, target) and len(waiting) + self.desired - len(self.sites) <= but


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


def decide(now: Situation) -> Decision:
    """Return what to do next."""
    if now.undone or now.condemned:
        kept = "" if now.is_guarded and now.can_go_back else ", and no earlier one is kept"
        decision = _stop(now, now.condemned or f"undone by annotation{kept}")
    elif not now.is_guarded:
        decision = _spread(now)
    elif now.can_go_back and not now.has_begun and (leftovers := _failed(now)):
        decision = _clear(now, leftovers)
    elif now.before.stage is RolloutStage.WAVES or now.spec.canary.nodes == 0:
        decision = _waves(now)
    else:
        decision = _canary(now)
    goal = now.good if decision.stage is RolloutStage.ROLLED_BACK else now.wanted
    held = now.paused and decision.stage is not RolloutStage.FAILED and outdated(now.sites, goal)
    return _hold(now, decision) if held else decision


def _hold(now: Situation, decision: Decision) -> Decision:
    """Replace nothing, and let new nodes have the revision that proved itself."""
    return replace(
        decision,
        stage=RolloutStage.PAUSED,
        target=_safe(now),
        replace=(),
        message=now.condemned or "paused by annotation",
        canary_nodes=tuple(now.before.canary_nodes),
        failed=bool(now.condemned),
        again_s=None,
    )


def _clear(now: Situation, leftovers: Sequence[Site]) -> Decision:
    """End what an earlier attempt at the wanted revision left behind: it says nothing about this one."""
    return Decision(
        stage=RolloutStage.CANARY,
        target=_safe(now),
        replace=tuple(leftovers),
        message=f"replacing {len(leftovers)} agents that failed in an earlier attempt",
    )


def _safe(now: Situation) -> str:
    return now.good if now.is_guarded and now.can_go_back else now.wanted


def _stop(now: Situation, why: str) -> Decision:
    """Go back to the revision that proved itself; where that cannot be, or is not asked for, go no further."""
    if not (now.is_guarded and now.can_go_back and (now.spec.auto_rollback or now.undone)):
        return Decision(
            stage=RolloutStage.FAILED, target=_safe(now), message=why, failed=True, is_over=True, again_s=None
        )
    over = now.is_over(now.good)
    return Decision(
        stage=RolloutStage.ROLLED_BACK,
        target=now.good,
        replace=now.replaceable(now.good),
        message=why,
        failed=True,
        is_over=over,
        again_s=None if over else _settling_s(now, now.good),
    )


def _spread(now: Situation) -> Decision:
    """Bring a revision to all nodes that proved itself already, or the first one of all: no other could be better."""
    failures = _failures(now)
    over = now.is_over(now.wanted, but=min(len(failures), allowed_unavailable(now.spec, now.desired) - 1))
    proved = now.good == now.wanted and not outdated(now.sites, now.wanted)
    if over or proved:
        stage = RolloutStage.COMPLETE
    elif len(failures) >= allowed_unavailable(now.spec, now.desired):
        stage = RolloutStage.FAILED
    else:
        stage = RolloutStage.WAVES
    return Decision(
        stage=stage,
        target=now.wanted,
        replace=now.replaceable(now.wanted),
        message="; ".join(failures) if stage is RolloutStage.FAILED else _progress(now, stage),
        is_over=over,
        again_s=None if over else _settling_s(now, now.wanted),
    )


def _canary(now: Situation) -> Decision:
    trying = choose(
        now.sites,
        now.spec.canary,
        chosen=now.before.canary_nodes,
        wanted=now.wanted,
        good=now.good,
        nodes=now.nodes,
    )
    if not trying:
        message = "no node may try first: none that is ready and not cordoned fits rollout.canary.nodeSelector"
        return Decision(stage=RolloutStage.CANARY, target=_safe(now), message=message)
    verdicts = [verdict(site, now.evidence, now.spec, wanted=now.wanted, now=now.now) for site in trying]
    if failed := [found.failed for found in verdicts if found.failed]:
        return _stop(now, "; ".join(failed))
    duration_s = seconds(now.spec.canary.duration)
    well_s = min(site.since_s(now.now) if site.is_ready and site.revision == now.wanted else 0.0 for site in trying)
    missing = [found.awaits for found in verdicts if found.awaits]
    if not missing and well_s >= duration_s:
        return _waves(now)
    awaited = f", waiting for {', '.join(missing)}" if missing else ""
    if now.standing_s > duration_s + seconds(now.spec.progress_deadline) + _ENDING_S:
        return _stop(now, f"the canary was not well for {now.spec.canary.duration} on end{awaited}")
    running = sum(1 for site in trying if site.revision == now.wanted)
    told_s = int(min(well_s, duration_s)) // _STEP_S * _STEP_S
    return Decision(
        stage=RolloutStage.CANARY,
        # Nodes that come meanwhile are no canaries: they get the new revision only while a canary waits for its agent.
        target=now.wanted if running < len(trying) else _safe(now),
        replace=now.replaceable(now.wanted, trying),
        message=f"canary {running} of {len(trying)} nodes, {told_s} s of {duration_s:.0f} s well{awaited}",
        canary_nodes=tuple(site.node for site in trying),
        again_s=_until(duration_s - well_s, SETTLED_S - well_s),
    )


def _waves(now: Situation) -> Decision:
    failures, limit = _failures(now), allowed_unavailable(now.spec, now.desired)
    if len(failures) >= limit:
        return _stop(now, "; ".join(failures))
    stands = now.before.stage is RolloutStage.WAVES
    if stands and now.standing_s > seconds(now.spec.progress_deadline) + _ENDING_S:
        return _stop(
            now, f"no further node has got it for {now.standing_s:.0f} s: {_progress(now, RolloutStage.WAVES)}"
        )
    over = now.is_over(now.wanted, but=len(failures))
    stage = RolloutStage.COMPLETE if over else RolloutStage.WAVES
    return Decision(
        stage=stage,
        target=now.wanted,
        replace=now.replaceable(now.wanted),
        message=_progress(now, stage),
        canary_nodes=() if over else tuple(now.before.canary_nodes),
        is_over=over,
        again_s=None if over else _settling_s(now, now.wanted),
    )


def _failed(now: Situation) -> list[Site]:
    """Return the sites where the wanted revision has failed."""
    return [s for s in now.sites if s.revision == now.wanted and failure(s, now.spec, now.now)]


def _failures(now: Situation) -> list[str]:
    return [failure(site, now.spec, now.now) for site in _failed(now)]


def _progress(now: Situation, stage: RolloutStage) -> str:
    done = sum(1 for site in now.sites if site.revision == now.wanted and site.is_settled(now.now))
    return f"{'wave: ' if stage is RolloutStage.WAVES else ''}{done} of {now.desired} nodes"


def _settling_s(now: Situation, target: str) -> float:
    young = (site for site in now.sites if site.revision == target and site.is_ready)
    return _until(*(SETTLED_S - site.since_s(now.now) for site in young))


def _until(*moments_s: float) -> float:
    return min((moment_s for moment_s in moments_s if moment_s > 0), default=REST_S)
