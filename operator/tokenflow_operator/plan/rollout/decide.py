"""What the rollout of a TelemetryAgent does next.

A pure function of the situation. What it decides is written to the status before it is acted on, so that an operator
that is stopped anywhere goes on as if nothing had been.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tokenflow_api.quantities import seconds
from tokenflow_api.telemetry_agent import RolloutStage
from tokenflow_operator.plan.rollout.canary import choose
from tokenflow_operator.plan.rollout.failures import failure
from tokenflow_operator.plan.rollout.gates import verdict
from tokenflow_operator.plan.rollout.sites import SETTLED_S, Site
from tokenflow_operator.plan.rollout.situation import REST_S, Decision, Situation
from tokenflow_operator.plan.rollout.waves import outdated

_ENDING_S: Final = 120.0
"""Seconds that old agents may take to end, on top of what new ones may take to begin."""
_NAMED: Final = 3
"""Nodes that are named of those where a revision failed."""
_STEPS: Final = 20
"""Steps in which a long canary's time is told: each is a write of the status."""


def decide(situation: Situation) -> Decision:
    """Return what to do next."""
    if situation.undone or situation.condemned:
        kept = "" if situation.is_guarded and situation.can_go_back else ", and no earlier one is kept"
        decision = _stop(situation, situation.condemned or f"undone by annotation{kept}")
    elif not situation.is_guarded:
        decision = _spread(situation)
    elif situation.can_go_back and not situation.has_begun and (leftovers := situation.failed()):
        decision = _clear(situation, leftovers)
    elif situation.before.stage is RolloutStage.WAVES or situation.spec.canary.nodes == 0:
        decision = _waves(situation)
    else:
        decision = _canary(situation)
    goal = situation.good if decision.stage is RolloutStage.ROLLED_BACK else situation.wanted
    held = situation.paused and decision.stage is not RolloutStage.FAILED and outdated(situation.sites, goal)
    return _hold(situation, decision) if held else decision


def _hold(situation: Situation, decision: Decision) -> Decision:
    """Replace nothing, and let new nodes have the revision that proved itself."""
    return replace(
        decision,
        stage=RolloutStage.PAUSED,
        target=_safe(situation),
        replace=(),
        message=situation.condemned or "paused by annotation",
        canary_nodes=tuple(situation.before.canary_nodes),
        failed=bool(situation.condemned),
        again_s=None,
    )


def _clear(situation: Situation, leftovers: Sequence[Site]) -> Decision:
    """End what an earlier attempt at the wanted revision left behind: it says nothing about this one."""
    return Decision(
        stage=RolloutStage.CANARY,
        target=_safe(situation),
        replace=tuple(leftovers),
        message=f"replacing {len(leftovers)} agents that failed in an earlier attempt",
    )


def _safe(situation: Situation) -> str:
    """Return the revision for agents that are started where no new one is to be tried."""
    return situation.good if situation.is_guarded and situation.can_go_back else situation.wanted


def _stop(situation: Situation, why: str) -> Decision:
    """Go back to the revision that proved itself; where that cannot be, or is not asked for, go no further."""
    if not (situation.is_guarded and situation.can_go_back and (situation.spec.auto_rollback or situation.undone)):
        return Decision(
            stage=RolloutStage.FAILED, target=_safe(situation), message=why, failed=True, is_over=True, again_s=None
        )
    over = situation.is_over(situation.good)
    return Decision(
        stage=RolloutStage.ROLLED_BACK,
        target=situation.good,
        replace=situation.replaceable(situation.good),
        message=why,
        failed=True,
        is_over=over,
        again_s=None if over else _settling_s(situation, situation.good),
    )


def _spread(situation: Situation) -> Decision:
    """Bring a revision to all nodes that proved itself already, or the first one of all: no other could be better."""
    failures, limit = _failures(situation), situation.allowed_unavailable
    over = situation.is_over(situation.wanted, but=min(len(failures), limit - 1))
    proved = situation.good == situation.wanted and not outdated(situation.sites, situation.wanted)
    if over or proved:
        stage = RolloutStage.COMPLETE
    elif len(failures) >= limit:
        stage = RolloutStage.FAILED
    else:
        stage = RolloutStage.WAVES
    return Decision(
        stage=stage,
        target=situation.wanted,
        replace=situation.replaceable(situation.wanted),
        message=_told(failures) if stage is RolloutStage.FAILED else _progress(situation, stage),
        is_over=over,
        again_s=None if over else _settling_s(situation, situation.wanted),
    )


def _canary(situation: Situation) -> Decision:
    trying = choose(
        situation.sites,
        situation.spec.canary,
        chosen=situation.before.canary_nodes,
        wanted=situation.wanted,
        good=situation.good,
        nodes=situation.nodes,
    )
    if not trying:
        message = "no node may try first: none that is ready and not cordoned fits rollout.canary.nodeSelector"
        return Decision(stage=RolloutStage.CANARY, target=_safe(situation), message=message)
    verdicts = [
        verdict(site, situation.evidence, situation.spec, wanted=situation.wanted, now=situation.now) for site in trying
    ]
    if failed := [found.failed for found in verdicts if found.failed]:
        return _stop(situation, _told(failed))
    duration_s = seconds(situation.spec.canary.duration)
    well_s = min(
        site.since_s(situation.now) if site.is_ready and site.revision == situation.wanted else 0.0 for site in trying
    )
    missing = [found.awaits for found in verdicts if found.awaits]
    if not missing and well_s >= duration_s:
        return _waves(situation)
    awaited = f", waiting for {', '.join(missing)}" if missing else ""
    if situation.standing_s > duration_s + seconds(situation.spec.progress_deadline) + _ENDING_S:
        return _stop(situation, f"the canary was not well for {situation.spec.canary.duration} on end{awaited}")
    running = sum(1 for site in trying if site.revision == situation.wanted)
    step_s = max(REST_S, duration_s / _STEPS)
    told_s = min(well_s, duration_s) // step_s * step_s
    return Decision(
        stage=RolloutStage.CANARY,
        # Nodes that come meanwhile are no canaries: they get the new revision only while a canary waits for its agent.
        target=situation.wanted if running < len(trying) else _safe(situation),
        replace=situation.replaceable(situation.wanted, trying),
        message=f"canary {running} of {len(trying)} nodes, {told_s:.0f} s of {duration_s:.0f} s well{awaited}",
        canary_nodes=tuple(site.node for site in trying),
        again_s=_until(duration_s - well_s, SETTLED_S - well_s, step_s),
    )


def _waves(situation: Situation) -> Decision:
    failures = _failures(situation)
    if len(failures) >= situation.allowed_unavailable:
        return _stop(situation, _told(failures))
    patience_s = seconds(situation.spec.progress_deadline) + _ENDING_S
    if situation.before.stage is RolloutStage.WAVES and situation.standing_s > patience_s:
        standing = _progress(situation, RolloutStage.WAVES)
        return _stop(situation, f"no further node has got it for {situation.standing_s:.0f} s: {standing}")
    over = situation.is_over(situation.wanted, but=len(failures))
    stage = RolloutStage.COMPLETE if over else RolloutStage.WAVES
    return Decision(
        stage=stage,
        target=situation.wanted,
        replace=situation.replaceable(situation.wanted),
        message=_progress(situation, stage),
        canary_nodes=() if over else tuple(situation.before.canary_nodes),
        is_over=over,
        again_s=None if over else _settling_s(situation, situation.wanted),
    )


def _failures(situation: Situation) -> list[str]:
    return [failure(site, situation.spec, situation.now) for site in situation.failed()]


def _told(failures: Sequence[str]) -> str:
    more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    return f"{'; '.join(failures[:_NAMED])}{more}"


def _progress(situation: Situation, stage: RolloutStage) -> str:
    done = sum(1 for site in situation.sites if site.revision == situation.wanted and site.is_settled(situation.now))
    return f"{'wave: ' if stage is RolloutStage.WAVES else ''}{done} of {situation.desired} nodes"


def _settling_s(situation: Situation, target: str) -> float:
    young = (site for site in situation.sites if site.revision == target and site.is_ready)
    return _until(*(SETTLED_S - site.since_s(situation.now) for site in young))


def _until(*moments_s: float) -> float:
    return min((moment_s for moment_s in moments_s if moment_s > 0), default=REST_S)
