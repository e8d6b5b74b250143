"""Sends what plans ask to be told, beside the passes, so that no receiver can hold one up."""

import asyncio
import dataclasses
import logging
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Final

from tokenflow_api.backoff import Backoff
from tokenflow_api.tasks import lasting
from tokenflow_operator import metrics
from tokenflow_operator.keys import Key
from tokenflow_operator.notify.addresses import Addresses
from tokenflow_operator.notify.errors import (
    NotifyError,
    ReceiverAwayError,
    ReceiverUnusableError,
    SecretForbiddenError,
)
from tokenflow_operator.notify.message import message
from tokenflow_operator.notify.model import Delivery, NotifierState, Trouble, TroubleKind
from tokenflow_operator.notify.poster import Poster
from tokenflow_operator.wall_clock import utc_now

MAX_WAITING: Final = 512
WORKERS: Final = 32
"""So many receivers may hang, and the others are told all the same: a worker that waits costs next to nothing."""
LIMIT_S: Final = 15.0
"""Seconds for all attempts at one delivery together."""
_FIRST_PAUSE_S: Final = 1.0

_log: Final = logging.getLogger(__name__)

_KINDS: Final[dict[type[NotifyError], TroubleKind]] = {
    SecretForbiddenError: TroubleKind.FORBIDDEN,
    ReceiverUnusableError: TroubleKind.UNUSABLE,
}


class Dispatcher:
    """A bounded queue of deliveries, at most one for each notifier, and the workers that empty it.

    What finds no place in the queue counts as failed. Nothing is lost by that, or when the process ends: what a
    receiver has taken stands in the policy's status, and the next plan asks for the rest again.
    """

    def __init__(
        self,
        *,
        addresses: Addresses,
        poster: Poster,
        settled: Callable[[Key], None],
        now: Callable[[], datetime] = utc_now,
        limit_s: float = LIMIT_S,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Make an idle dispatcher.

        Args:
            addresses: of the receivers.
            poster: posts the messages.
            settled: called with the policy after each delivery, well or not.
            now: time of day.
            limit_s: for all attempts at one delivery together.
            max_waiting: deliveries that may wait.
        """
        self._addresses = addresses
        self._poster = poster
        self._settled = settled
        self._now = now
        self._limit_s = limit_s
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue(max_waiting)
        self._states: dict[Key, dict[str, NotifierState]] = {}

    def states(self, policy: Key) -> dict[str, NotifierState]:
        """Return what is known of a policy's notifiers, by name."""
        return dict(self._states.get(policy, {}))

    def forget(self, policy: Key) -> None:
        """Forget the notifiers of a policy that is gone."""
        self._states.pop(policy, None)

    def take(self, delivery: Delivery) -> None:
        """Put a delivery into the queue, unless one to the same receiver waits or is under way."""
        states = self._states.setdefault(delivery.policy, {})
        state = states.get(delivery.notifier.name, NotifierState())
        if state.busy:
            return
        try:
            self._waiting.put_nowait(delivery)
        except asyncio.QueueFull:
            self._failed(delivery, Trouble(kind=TroubleKind.FAILING, message="too many messages wait"))
            self._settled(delivery.policy)
            return
        states[delivery.notifier.name] = dataclasses.replace(state, busy=True)

    async def run(self) -> None:
        """Deliver until cancelled: what is not told by then the next leader's plans ask for."""
        await lasting(*(self._work() for _ in range(WORKERS)))

    async def _work(self) -> None:
        while True:
            delivery = await self._waiting.get()
            try:
                await self._deliver(delivery)
            except NotifyError as error:
                kind = _KINDS.get(type(error), TroubleKind.FAILING)
                self._failed(delivery, Trouble(kind=kind, message=str(error)))
            except Exception as error:  # noqa: BLE001 - a defect in one message must not end the others
                # Its words might hold the receiver's URL.
                where = traceback.extract_tb(error.__traceback__)[-1]
                cause = f"{type(error).__name__} at {where.filename}:{where.lineno}"
                _log.error("a delivery failed by a defect", extra={**_extra(delivery), "cause": cause})
                self._failed(delivery, Trouble(kind=TroubleKind.FAILING, message="a defect: see the operator's log"))
            else:
                self._succeeded(delivery)
            self._settled(delivery.policy)

    async def _deliver(self, delivery: Delivery) -> None:
        backoff = Backoff(first_s=_FIRST_PAUSE_S)
        failure: ReceiverAwayError | None = None
        try:
            async with asyncio.timeout(self._limit_s):
                while True:
                    try:
                        return await self._attempt(delivery)
                    except ReceiverAwayError as error:
                        failure = error
                        await asyncio.sleep(max(error.after_s, backoff.failed()))
        except TimeoutError as error:
            raise failure or ReceiverAwayError("it does not answer in time") from error

    async def _attempt(self, delivery: Delivery) -> None:
        url = await self._addresses.url(delivery.policy, delivery.notifier)
        if delivery.notices:
            await self._poster.post(message(delivery, url=url, at=self._now()))

    def _succeeded(self, delivery: Delivery) -> None:
        now = self._now()
        if not delivery.notices:
            known = self._known(delivery)
            self._remember(delivery, NotifierState(settled_at=now, sent_at=known.sent_at, told=known.told))
            return
        self._remember(delivery, NotifierState(settled_at=now, sent_at=now, told=delivery.firing))
        metrics.NOTIFICATIONS.labels(type=delivery.notifier.type, result="sent").inc()

    def _failed(self, delivery: Delivery, trouble: Trouble) -> None:
        state = dataclasses.replace(self._known(delivery), busy=False, settled_at=self._now(), trouble=trouble)
        self._remember(delivery, state)
        metrics.NOTIFICATIONS.labels(type=delivery.notifier.type, result="failed").inc()
        _log.warning("a receiver was not told", extra={**_extra(delivery), "cause": trouble.message})

    def _known(self, delivery: Delivery) -> NotifierState:
        return self._states.get(delivery.policy, {}).get(delivery.notifier.name, NotifierState())

    def _remember(self, delivery: Delivery, state: NotifierState) -> None:
        states = self._states.get(delivery.policy)
        # The policy may have been deleted meanwhile.
        if states is not None:
            states[delivery.notifier.name] = state


def _extra(delivery: Delivery) -> dict[str, str]:
    return {"key": str(delivery.policy), "notifier": delivery.notifier.name}
