"""Why a container does not run: the kubelet's words for it, and the container's own last ones."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tokenflow_api.exits import NO_CERTIFICATE
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.reasons import Reason

_IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_UNMADE: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_CRASHED: Final = "CrashLoopBackOff"
_OUT_OF_MEMORY: Final = "OOMKilled"
_TRIED: Final = "ErrImagePull: "
"""Begins the words of an attempt at an image where they are told again while the kubelet waits for the next one."""
_WAITS: Final = "Back-off pulling image"
_OFTEN: Final = 2
_RECENT_S: Final = 600.0
"""A container that is up but not ready has not come out of its loop: so many restarts, and so many seconds, as the
kubelet has them, which the last run would have had to last, and which have passed since."""
_LONGEST: Final = 320
_EACH_TIME_ANEW: Final = re.compile(
    r"(?<=:)\d{4,5}(?=->)"  # the port that a connection came from
    r"|\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|(?<!sha256:)\b[0-9a-f](?:-?[0-9a-f]){15,}",  # ids of requests and containers
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from running.

    Attributes:
        may_pass: it may end without anybody's doing.
    """

    reason: Reason
    words: str
    may_pass: bool = False


def container_trouble(status: Manifest, *, now: datetime) -> Trouble | None:
    """Return what keeps a container from running; nothing where it runs, or just starts.

    Args:
        status: what the kubelet says of it.
        now: time of day.
    """
    waiting = status.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE_REASONS:
        cause = _pull_failure(message)
        return Trouble(Reason.IMAGE_PULL_FAILED, f"{status['image']}{f': {brief(cause)}' if cause else ''}")
    if reason in _UNMADE:
        return Trouble(Reason.PODS_FAILING, f"container {status['name']}: {reason}: {brief(message)}")
    end = _last_end(status)
    if reason != _CRASHED and not _keeps_ending(status, end, now=now):
        return None
    why = Reason.CERTIFICATE_UNUSABLE if end.get("exitCode") == NO_CERTIFICATE else Reason.PODS_FAILING
    return Trouble(why, _last_words(status["name"], end), may_pass=True)


def brief(words: str) -> str:
    """Return the words in one line of bounded length: what they begin with, and how they end.

    What another attempt would say otherwise is left out: each change of the words is a write.
    """
    line = _EACH_TIME_ANEW.sub("…", " ".join(words.split()))
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}"


def _pull_failure(message: str) -> str:
    """Return why an image cannot be pulled, alike during an attempt and between two of them."""
    _, _, tried = message.partition(_TRIED)
    return tried or ("" if message.startswith(_WAITS) else message)


def _last_end(status: Manifest) -> Manifest:
    return status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}


def _keeps_ending(status: Manifest, end: Manifest, *, now: datetime) -> bool:
    # Of a container that was lost the kubelet knows no times: it says null.
    finished, started = end.get("finishedAt"), end.get("startedAt")
    if status.get("ready", False) or status.get("restartCount", 0) < _OFTEN or not finished:
        return False
    ended = datetime.fromisoformat(finished)
    lasted_s = (ended - datetime.fromisoformat(started)).total_seconds() if started else 0.0
    return lasted_s < _RECENT_S and (now - ended).total_seconds() < _RECENT_S


def _last_words(name: str, end: Manifest) -> str:
    """Tell how a container ended last, and the last line that it left."""
    how = f"{end.get('reason', 'ended')} with exit code {end['exitCode']}" if end else ""
    memory = "it needs more memory than its limit allows" if end.get("reason") == _OUT_OF_MEMORY else ""
    lines = [line for line in end.get("message", "").splitlines() if line.strip()]
    said = brief(lines[-1]) if lines else ""
    return ": ".join(part for part in (f"container {name}", _CRASHED, how, memory, said) if part)
