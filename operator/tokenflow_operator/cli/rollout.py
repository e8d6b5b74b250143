"""``kubectl tokenflow rollout``: how far a TelemetryAgent's revision has come, and steering it by hand."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tokenflow_api.telemetry_agent import (
    PAUSE_ANNOTATION,
    RETRY_ANNOTATION,
    UNDO_ANNOTATION,
    RolloutStage,
    RolloutStatus,
    TelemetryAgentStatus,
)
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.resources import AGENTS, Seen, seen
from tokenflow_operator.errors import InvalidError

POLL_S: Final = 2.0


class Verdict(Enum):
    """What a rollout has come to."""

    COMPLETE = auto()
    UNDER_WAY = auto()
    FAILED = auto()


_VERDICTS: Final = {
    RolloutStage.COMPLETE: Verdict.COMPLETE,
    RolloutStage.FAILED: Verdict.FAILED,
    RolloutStage.ROLLED_BACK: Verdict.FAILED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a rollout has come, in words and in a word."""

    verdict: Verdict
    text: str


def look(kubectl: Kubectl, name: str) -> Progress:
    """Return how far the rollout of a TelemetryAgent has come.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: there is no such TelemetryAgent, or it could not be read.
    """
    agent, status = _read(kubectl, name)
    return progress(agent, status)


def progress(agent: Seen, status: TelemetryAgentStatus) -> Progress:
    """Return how far the rollout has come by what the operator says.

    Nodes that are not ready do not hold it up: they get the revision when they come back.
    """
    rollout = status.rollout
    current = rollout is not None and status.observed_generation >= agent.generation
    stage = rollout.stage if rollout is not None and current and _is_heeded(agent, status, rollout) else None
    words = f"{stage.value}: " if stage else "not yet seen by the operator: "
    nodes = (
        f"{status.updated} of {status.desired} nodes run revision {status.revision or '?'}, {status.ready} are ready"
    )
    why = f"\n  {rollout.message}" if rollout and rollout.message else ""
    verdict = _VERDICTS.get(stage, Verdict.UNDER_WAY) if stage else Verdict.UNDER_WAY
    return Progress(verdict=verdict, text=f"TelemetryAgent {agent.place}: {words}{nodes}{why}")


def _is_heeded(agent: Seen, status: TelemetryAgentStatus, rollout: RolloutStatus) -> bool:
    """Return whether the operator has seen what was asked for by annotation, which makes no new generation."""
    undone = agent.annotations.get(UNDO_ANNOTATION, "") == status.revision != ""
    given_up = rollout.stage in (RolloutStage.ROLLED_BACK, RolloutStage.FAILED, RolloutStage.PAUSED)
    return rollout.retried == agent.annotations.get(RETRY_ANNOTATION, "") and (given_up or not undone)


def watch(
    looking: Callable[[], Progress],
    say: Callable[[str], object],
    *,
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Verdict:
    """Look until the rollout has ended, saying each change, and return what it has come to by then.

    Raises:
        KubeError: it could not be looked at.
    """
    deadline, told = clock() + timeout_s, ""
    while True:
        seen_now = looking()
        if seen_now.text != told:
            told = seen_now.text
            say(told)
        if seen_now.verdict is not Verdict.UNDER_WAY or clock() >= deadline:
            return seen_now.verdict
        sleep(POLL_S)


def pause(kubectl: Kubectl, name: str) -> str:
    """Let no further node get the new revision.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: there is no such TelemetryAgent, or it could not be changed.
    """
    _annotate(kubectl, name, f"{PAUSE_ANNOTATION}=true")
    return f"paused: go on with: {_command(kubectl, 'resume', name)}"


def resume(kubectl: Kubectl, name: str) -> str:
    """Let a paused rollout go on.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: there is no such TelemetryAgent, or it could not be changed.
    """
    _annotate(kubectl, name, f"{PAUSE_ANNOTATION}-")
    return "resumed"


def undo(kubectl: Kubectl, name: str) -> str:
    """Go back from the present revision to the last good one, or the newest other one that is kept.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: there is no revision yet, or the TelemetryAgent could not be read or changed.
    """
    agent, status = _read(kubectl, name)
    if not status.revision:
        raise InvalidError(f"TelemetryAgent {agent.place} has no revision yet: there is nothing to undo")
    _annotate(kubectl, name, f"{UNDO_ANNOTATION}={status.revision}")
    again = _command(kubectl, "retry", name)
    return f"going back from revision {status.revision}: give it another chance with: {again}"


def retry(kubectl: Kubectl, name: str, *, moment: str) -> str:
    """Give the revision that failed, or was undone, another chance.

    Args:
        kubectl: the caller's.
        name: of the TelemetryAgent.
        moment: a value that was never given before.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: there is no such TelemetryAgent, or it could not be changed.
    """
    _annotate(kubectl, name, f"{UNDO_ANNOTATION}-", f"{RETRY_ANNOTATION}={moment}")
    return f"trying again: see {_command(kubectl, 'status', name)} --watch"


def _command(kubectl: Kubectl, what: str, name: str) -> str:
    where = f" -n {kubectl.namespace}" if kubectl.namespace else ""
    return f"kubectl tokenflow rollout {what} {name}{where}"


def _read(kubectl: Kubectl, name: str) -> tuple[Seen, TelemetryAgentStatus]:
    agent = seen(kubectl.json("get", AGENTS, name))
    if not isinstance(agent.status, TelemetryAgentStatus):
        raise InvalidError(f"{agent.kind} {agent.place} has no rollout: name a TelemetryAgent")
    return agent, agent.status


def _annotate(kubectl: Kubectl, name: str, *annotations: str) -> None:
    kubectl.run("annotate", AGENTS, name, *annotations, "--overwrite")
