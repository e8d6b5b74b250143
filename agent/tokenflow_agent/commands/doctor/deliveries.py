"""Checks that what is measured can reach those who asked for it."""

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from tokenflow_agent.commands.answers import Answer, get
from tokenflow_agent.commands.doctor.check import Check, State
from tokenflow_agent.errors import AgentError, ConfigError
from tokenflow_agent.settings import Configuration
from tokenflow_api.telemetry import AgentConfig, IngestAddress

_TIMEOUT_S: Final = 5.0
_MAX_OFFSET_S: Final = 2.0
"""The ``Date`` of an answer has whole seconds, and the answer takes its time."""
_OK: Final = 200


def configuration(file: Path) -> tuple[AgentConfig | None, Check]:
    """Check the agent's config; return it where it is one."""
    try:
        config = Configuration(file).current
    except ConfigError as error:
        return None, Check("config", State.FAIL, f"{error}: look at the ConfigMap of the TelemetryAgent")
    return config, Check("config", State.OK, f"{config.namespace}/{config.name}, generation {config.generation}")


def token(file: Path) -> Sequence[Check]:
    """Check that there is something to show to the hint services."""
    try:
        empty = not file.read_text().strip()
    except OSError as error:
        words = f"{file} cannot be read ({error.strerror}): run the agent by a TelemetryAgent, which mounts it"
        return [Check("token", State.FAIL, words)]
    if empty:
        return [Check("token", State.FAIL, f"{file} is empty: look at the events of the agent's pod")]
    return [Check("token", State.OK, f"{file} is readable")]


def hint_service(address: IngestAddress) -> Sequence[Check]:
    """Check that a hint service answers, and what time it has."""
    name = "hint service"
    what = f"{address.policy} at {address.url}"
    try:
        answer = get(address.url, "/healthz", timeout_s=_TIMEOUT_S)
    except AgentError as error:
        words = "look at its pods, at its Service, and at network policies"
        return [Check(name, State.FAIL, f"{address.policy}: {error}: {words}")]
    if answer.status != _OK:
        return [Check(name, State.WARN, f"{what} answers {answer.status}: look at its log")]
    offset = clock_offset_s(answer, now_s=time.time())
    if offset is not None and abs(offset) > _MAX_OFFSET_S:
        words = f"its clock is {offset:+.0f} s from this node's: run NTP on both"
        return [Check(name, State.WARN, f"{what} answers, but {words}")]
    return [Check(name, State.OK, f"{what} answers")]


def no_hint_service() -> Sequence[Check]:
    """Say that nobody asked for what is measured."""
    words = "none asks for windows: name this TelemetryAgent in spec.telemetry.agents of a PacingPolicy"
    return [Check("hint service", State.WARN, words)]


def clock_offset_s(answer: Answer, *, now_s: float) -> float | None:
    """Return how far the answering clock is ahead; ``None`` where it was not told.

    Args:
        answer: with its ``Date``.
        now_s: this node's time, in seconds since 1970.
    """
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - now_s
    except (TypeError, ValueError):
        return None
