"""What is said of a rollout in the conditions."""

from collections.abc import Iterator
from typing import Final

from tokenflow_api.telemetry_agent import PAUSE_ANNOTATION, RETRY_ANNOTATION, RolloutStage
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.plan.rollout.overlap import Overlap
from tokenflow_operator.plan.rollout.progress import Progress

_NAMED: Final = 10


def overlap_problem(overlap: Overlap) -> Problem:
    """Return why the resource is refused."""
    where = f"on {some(overlap.nodes, most=_NAMED)}" if overlap.nodes else "on nodes that both may select"
    message = (
        f"{overlap.older.key}, which is older, runs agents {where}: no agent of this one runs anywhere:"
        " change spec.nodeSelector of either so that they share no node"
    )
    return Problem(reason=Reason.NODES_OVERLAP, severity=Severity.BLOCKING, message=message)


def rollout_problems(progress: Progress) -> Iterator[Problem]:
    """Yield what is under way, and what went wrong."""
    status, wanted = progress.status, progress.wanted
    match status.stage:
        case RolloutStage.CANARY:
            yield _under_way(Reason.ROLLING_OUT, f"revision {wanted}: {status.message}")
        case RolloutStage.WAVES if progress.good:
            yield _under_way(Reason.ROLLING_OUT, f"revision {wanted}: {status.message}")
        case RolloutStage.PAUSED:
            yield _under_way(
                Reason.ROLLOUT_PAUSED,
                f"{progress.updated} of {progress.desired} nodes have revision {wanted}: no further agent is"
                f" replaced until the annotation {PAUSE_ANNOTATION} is removed",
            )
        case RolloutStage.FAILED if status.failed_revision:
            message = (
                f"revision {wanted} has failed: {status.message}: mend the spec, or set the annotation"
                f" {RETRY_ANNOTATION} to a new value to try it again"
            )
            yield Problem(reason=Reason.ROLLOUT_FAILED, severity=Severity.BLOCKING, message=message)
        case RolloutStage.ROLLED_BACK:
            message = (
                f"revision {wanted} has failed, {progress.good} takes its place: {status.message}: mend the spec, or"
                f" set the annotation {RETRY_ANNOTATION} to a new value to try it again"
            )
            yield Problem(reason=Reason.ROLLED_BACK, severity=Severity.DEGRADED, message=message)
            if not progress.is_over:
                back = sum(1 for site in progress.sites if site.revision == progress.good)
                words = f"{back} of {progress.desired} nodes are back at revision {progress.good}"
                yield _under_way(Reason.ROLLING_BACK, words)
        case _ if not progress.is_over:
            ready = sum(1 for site in progress.sites if site.is_ready)
            if ready < progress.desired:
                words = f"{ready} of {progress.desired} nodes have a ready agent"
                yield _under_way(Reason.AGENTS_STARTING, words)


def _under_way(reason: Reason, message: str) -> Problem:
    return Problem(reason=reason, severity=Severity.PROGRESSING, message=message)
