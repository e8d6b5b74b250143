"""What a check finds, and how long it may take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tokenflow_agent.gpu.thread import Background

LIMIT_S: Final = 45.0
"""Longest time of a check: a compile on a busy node may take thirty seconds."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """The agent reads or keeps less than it could."""
    FAIL = "fail"
    """A signal is lost, or nothing is delivered."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        state: how it is.
        message: what was seen; where it is not as it should be, also what to do.
    """

    name: str
    state: State
    message: str

    def __str__(self) -> str:
        """Return the line that a person reads."""
        return f"{self.state:<5}{self.name:<18}{' '.join(self.message.split())}"


Question = Callable[[], Sequence[Check]]


def limited(name: str, question: Question, *, limit_s: float = LIMIT_S) -> Sequence[Check]:
    """Return what ``question`` finds; where it finds no end, or breaks, that is the finding."""
    try:
        return Background(question, name=name).result(timeout=limit_s)
    except TimeoutError:
        return [Check(name, State.FAIL, f"no answer within {limit_s:.0f} s: look at dmesg and at the node's load")]
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        return [Check(name, State.FAIL, f"the check broke: {type(error).__name__}: {error}: report it to the project")]
