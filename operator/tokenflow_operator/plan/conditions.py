"""The three conditions: Ready sums up, Progressing and Degraded say more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tokenflow_api.meta import Condition, ConditionStatus
from tokenflow_operator.plan.reasons import Problem, Reason, Severity

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
DEGRADED: Final = "Degraded"
_MAX_MESSAGE: Final = 4096
_HOLDING_UP: Final = frozenset(
    {Reason.IMAGE_PULL_FAILED, Reason.PODS_FAILING, Reason.PODS_REFUSED, Reason.CERTIFICATE_UNUSABLE}
)
"""Why something that starts does not come up: said of Ready before what waits for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is said of a resource, before it is known since when.

    Attributes:
        well: reason of Ready where it is true.
        summary: message of Ready where it is true.
    """

    generation: int
    problems: tuple[Problem, ...]
    well: Reason
    summary: str


def conditions(judgement: Judgement, *, observed: Mapping[str, Any], now: datetime) -> list[Condition]:
    """Return the conditions, each with the time since when its status is what it is.

    Args:
        judgement: what is said.
        observed: the present status, whose conditions keep their time if they keep their status.
        now: time of a change.
    """
    problems = judgement.problems
    under_way = [p for p in problems if p.severity is Severity.PROGRESSING]
    blocking = [p for p in problems if p.severity is Severity.BLOCKING]
    degraded = [*blocking, *(p for p in problems if p.severity is Severity.DEGRADED)]
    causes = [p for p in degraded if p.reason in _HOLDING_UP] if under_way else []
    since = {c["type"]: c for c in observed.get("conditions", [])}

    def condition(type_: str, *, holds: bool, because: Sequence[Problem], otherwise: tuple[Reason, str]) -> Condition:
        status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
        before = since.get(type_, {})
        unchanged = before.get("status") == status
        return Condition(
            type=type_,
            status=status,
            observed_generation=judgement.generation,
            last_transition_time=before["lastTransitionTime"] if unchanged else timestamp(now),
            reason=because[0].reason if because else otherwise[0],
            message=_message(because) if because else otherwise[1],
        )

    return [
        condition(
            READY,
            holds=not (under_way or blocking),
            because=[*blocking, *causes, *under_way],
            otherwise=(judgement.well, _but(judgement.summary, degraded)),
        ),
        condition(
            PROGRESSING,
            holds=bool(under_way),
            because=under_way,
            otherwise=(Reason.UP_TO_DATE, "nothing is under way"),
        ),
        condition(
            DEGRADED,
            holds=bool(degraded),
            because=degraded,
            otherwise=(Reason.NOTHING_WRONG, "nothing is degraded"),
        ),
    ]


def progressing_since(observed: Mapping[str, Any]) -> datetime | None:
    """Return since when a status says that something is under way; nothing where it does not."""
    told = (c for c in observed.get("conditions", []) if c["type"] == PROGRESSING)
    return next((datetime.fromisoformat(c["lastTransitionTime"]) for c in told if c["status"] == "True"), None)


def timestamp(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _but(summary: str, degraded: Sequence[Problem]) -> str:
    names = ", ".join(dict.fromkeys(problem.reason.value for problem in degraded))
    return f"{summary}, but degraded: {names}" if names else summary


def _message(problems: Iterable[Problem]) -> str:
    return "; ".join(problem.message for problem in problems)[:_MAX_MESSAGE]
