"""Asks the policies' hint services for their state, apart from the passes that read the answers.

A hint service is asked often while something is awaited of it, and ever more rarely while it says the same. A pass is
asked for only when an answer means something else than the one before, or when there is none any more.
"""

import logging
import math
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tokenflow_api.cluster import ClusterView, Replica
from tokenflow_api.tasks import lasting
from tokenflow_operator import metrics
from tokenflow_operator.errors import (
    HintServiceError,
    HintServiceFailingError,
    HintServiceRefusedError,
    HintServiceUntrustedError,
)
from tokenflow_operator.hint_service import Answer, HintService
from tokenflow_operator.keys import Key
from tokenflow_operator.snapshot import HintServiceState, Silence
from tokenflow_operator.workqueue import WorkQueue

AT_A_TIME: Final = 8
MAX_FAILURES: Final = 3
MAX_SILENCE_S: Final = 10.0
"""A hint service is out of reach after so many failures in a row, or when they have lasted so long."""

_AWAITED_S: Final = 0.1
"""Seconds between the first questions after a new generation."""
_HURRIED_S: Final = 2.0
_FAILED_S: Final = 0.5
_RESTING_S: Final = 5.0
_RAREST_S: Final = 30.0
_TOGETHER_S: Final = 2.0
"""Seconds between the moments at which all are asked that are at rest."""
_BROKEN_S: Final = 15.0
"""Most seconds until one that cannot be read is asked again."""
_GROWTH: Final = 1.3
_ANEW_S: Final = 60.0
"""Seconds after which a connection by TLS gives way to another: a kept one would hide a certificate that whoever comes
anew does not believe."""

_PENDING: Final = HintServiceState(pending=True)
_SILENCES: Final[dict[type[HintServiceError], Silence]] = {
    HintServiceFailingError: Silence.FAILING,
    HintServiceRefusedError: Silence.REFUSED,
    HintServiceUntrustedError: Silence.UNTRUSTED,
}

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Whom to ask, and what is awaited of it.

    Attributes:
        policy: whose hint service it is.
        address: its base URL.
        authorities: certificates in PEM to know it by at https; empty is those of the system.
        generation: of the policy.
        replicas: that are to acknowledge the generation.
        hurried: whether even measurements are wanted fresh: a rollout is decided by them.
    """

    policy: Key
    address: str
    authorities: str
    generation: int
    replicas: frozenset[str]
    hurried: bool


@dataclass(kw_only=True, slots=True)
class _Followed:
    """What is known of a hint service.

    Attributes:
        silence: why it says nothing, if it does not.
        said: what it last said. A thousand nodes' reports take a tenth of the memory that way.
        replicas: those that it told of.
        connected_at: when a connection was last left for another.
    """

    target: Target
    silence: HintServiceState | None = _PENDING
    said: bytes = b""
    replicas: tuple[Replica, ...] = ()
    tag: str = ""
    failures: int = 0
    failing_since: float = 0.0
    connected_at: float = -math.inf
    pause_s: float = _AWAITED_S

    def answered(self, answer: Answer) -> None:
        """Take what it says."""
        self.said = zlib.compress(answer.view.model_dump_json(by_alias=True).encode(), level=1)
        self.replicas = tuple(answer.view.replicas)
        self.tag = answer.tag

    @property
    def state(self) -> HintServiceState:
        """What it last said, or why it says nothing."""
        return self.silence or HintServiceState(view=ClusterView.model_validate_json(zlib.decompress(self.said)))


class Polls:
    """The newest state of each hint service that a pass has asked about."""

    def __init__(
        self,
        *,
        hint_service: HintService,
        changed: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.9, 1.1),  # noqa: S311 - not a secret
    ) -> None:
        """Ask nobody yet.

        Args:
            hint_service: is asked.
            changed: called with the policy whose hint service says something else than before, or at another address.
            clock: monotonic seconds.
            jitter: factor of a pause.
        """
        self._hint_service = hint_service
        self._changed = changed
        self._clock = clock
        self._jitter = jitter
        self._queue = WorkQueue[Key](clock=clock)
        self._followed: dict[Key, _Followed] = {}

    def state(self, target: Target) -> HintServiceState:
        """Return what a hint service last said, and see to it that it is asked from now on."""
        followed = self._followed.get(target.policy)
        if followed is None:
            self._followed[target.policy] = followed = _Followed(target=target)
            self._queue.add(target.policy)
        elif followed.target != target:
            moved = followed.target.address != target.address
            followed.target = target
            followed.pause_s = _AWAITED_S
            self._queue.add(target.policy)
            if moved:
                self._changed(target.policy)
        return followed.state

    def forget(self, policy: Key) -> None:
        """Ask a policy's hint service no more: what it last said is over, for its agents too."""
        if self._followed.pop(policy, None) is not None:
            self._changed(policy)

    async def run(self) -> None:
        """Ask until cancelled."""
        await lasting(*(self._work() for _ in range(AT_A_TIME)))

    async def _work(self) -> None:
        while (policy := await self._queue.get()) is not None:
            try:
                pause_s = await self.ask(policy)
                if pause_s is not None:
                    self._queue.add_after(policy, ending_with_others(pause_s, now=self._clock()))
            finally:
                self._queue.done(policy)

    async def ask(self, policy: Key) -> float | None:
        """Ask a hint service once, and return the seconds until the next time; nothing if it is followed no more."""
        followed = self._followed.get(policy)
        if followed is None:
            return None
        before, target = followed.silence, followed.target
        try:
            # While something is awaited the whole state is wanted, stamps included.
            tag = "" if target.hurried else followed.tag
            answer = await self._hint_service.view(
                target.address, authorities=target.authorities, tag=tag, last=self._leaves(followed)
            )
        except HintServiceError as error:
            metrics.POLLS.labels(result="error").inc()
            self._failed(followed, error)
            said_more = followed.silence != before
        except Exception:  # noqa: BLE001 - a defect in one hint service's state must not stop the others' polls
            metrics.POLLS.labels(result="defect").inc()
            _log.exception("a hint service was not asked by a defect", extra={"policy": str(policy)})
            followed.pause_s = _BROKEN_S
            said_more = False
        else:
            metrics.POLLS.labels(result="ok" if answer else "same").inc()
            another = answer is not None and (not answer.tag or answer.tag != followed.tag)
            said_more = before is not None or another
            followed.failures, followed.silence = 0, None
            if answer is not None:
                followed.answered(answer)
            followed.pause_s = _pause_s(followed, said_more=said_more)
        if said_more and self._followed.get(policy) is followed:
            self._changed(policy)
        return followed.pause_s * self._jitter()

    def _leaves(self, followed: _Followed) -> bool:
        """Return whether it is time to leave the connection, and take it for left."""
        now = self._clock()
        leaves = followed.target.address.startswith("https:") and now - followed.connected_at >= _ANEW_S
        if leaves:
            followed.connected_at = now
        return leaves

    def _failed(self, followed: _Followed, error: HintServiceError) -> None:
        now = self._clock()
        if not followed.failures:
            followed.failing_since = now
        followed.failures += 1
        if followed.failures < MAX_FAILURES and now - followed.failing_since < MAX_SILENCE_S:
            followed.pause_s = _FAILED_S
            return
        silence = _SILENCES.get(type(error), Silence.UNREACHABLE)
        known = followed.silence
        # The words of another failure change from one to the next; each change would be a write.
        if known is None or known.pending or known.silence is not silence or silence is Silence.UNTRUSTED:
            followed.silence = HintServiceState(error=str(error), silence=silence)
        followed.tag = ""
        followed.pause_s = min(_BROKEN_S, followed.pause_s * _GROWTH)


def ending_with_others(pause_s: float, *, now: float) -> float:
    """Return about the pause, but one that ends when others do.

    To wake up for one question takes the processor four times as long as the question itself. A short pause, in which
    something is awaited, is left as it is.
    """
    if pause_s < 2 * _TOGETHER_S:
        return pause_s
    return round((now + pause_s) / _TOGETHER_S) * _TOGETHER_S - now


def _pause_s(followed: _Followed, *, said_more: bool) -> float:
    longer_s = followed.pause_s * _GROWTH
    if _behind(followed):
        return min(_RESTING_S, longer_s)
    if followed.target.hurried:
        return _HURRIED_S
    return _RESTING_S if said_more else min(_RAREST_S, max(_RESTING_S, longer_s))


def _behind(followed: _Followed) -> bool:
    """Return whether a replica has neither taken up the generation nor refused it."""
    wanted = followed.target.generation
    done = {replica.name for replica in followed.replicas if replica.generation >= wanted or replica.error}
    return not followed.target.replicas <= done
