"""Asks the hint service whether there is room for requests, and decides by failureMode where it does not answer."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitRequest
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.admission.ahead import Outlook, Room
from tokenflow_gateway.admission.commits import Commits
from tokenflow_gateway.admission.local import Hold, LocalQuotas
from tokenflow_gateway.admission.quota import QuotaClient
from tokenflow_gateway.errors import QuotaUnavailableError

_ABANDONED_S: Final = 60.0
"""Time that what was reserved for nobody has to be given back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A question to the hint service.

    Attributes:
        asked: what it is.
        takes: what the request takes of its tenant's limits.
        ahead: whether the tenant is so far from these that the request may be sent to an upstream before the answer.
    """

    asked: AdmitRequest
    takes: Room
    ahead: bool


class Checks:
    """Asks, and hears the answers, whether or not anybody still waits for them.

    Args:
        quota: the hint service's side.
        local: decides where that does not answer.
        commits: give back what was reserved for nobody.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        quota: QuotaClient,
        *,
        local: LocalQuotas,
        commits: Commits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quota = quota
        self._local = local
        self._commits = commits
        self._outlook = Outlook(clock)
        self._gateways = 1
        self._under_way: set[asyncio.Task[AdmitReply]] = set()

    def configure(self, config: RuntimeConfig) -> None:
        """Go by another config from now on."""
        self._gateways = config.spec.gateway.replicas

    def begin(self, asked: AdmitRequest) -> Check:
        """Return a question, which either ``ask`` or ``forget`` must be called with."""
        takes = Room(requests=1, tokens=self._local.reserve(asked), streams=int(asked.stream))
        ahead = self._outlook.begin(asked.tenant, takes, gateways=self._gateways)
        return Check(asked=asked, takes=takes, ahead=ahead)

    def forget(self, check: Check) -> None:
        """Take in that a question will not be asked."""
        self._outlook.end(check.asked.tenant, check.takes)

    async def ask(self, check: Check, *, at_work: bool = False) -> tuple[AdmitReply, Hold | None]:
        """Return the answer, and what it takes of this gateway's share of the limits.

        Args:
            check: the question.
            at_work: whether an upstream reads the prompt meanwhile: who leaves before the answer pays for that.
        """
        answer = asyncio.create_task(self._quota.admit(check.asked))
        self._under_way.add(answer)
        answer.add_done_callback(partial(self._hear, check))
        try:
            reply = await asyncio.shield(answer)
        except QuotaUnavailableError:
            return self._local.admit(check.asked)
        except asyncio.CancelledError:
            used = check.asked.input_tokens if at_work else 0
            answer.add_done_callback(partial(self._give_back, input_tokens=used))
            raise
        return reply, self._local.note(check.asked, tokens=reply.reserved_tokens) if reply.admitted else None

    async def drain(self) -> None:
        """Wait for the answers that are still to come."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _hear(self, check: Check, answer: asyncio.Task[AdmitReply]) -> None:
        self._under_way.discard(answer)
        self._outlook.end(check.asked.tenant, check.takes)
        self._outlook.hear(check.asked.tenant, _reply(answer))

    def _give_back(self, answer: asyncio.Task[AdmitReply], *, input_tokens: int) -> None:
        """Give back what was reserved for a reader who has left, but for what was used."""
        reply = _reply(answer)
        if reply is not None and reply.reservation:
            done = CommitRequest(reservation=reply.reservation, input_tokens=input_tokens)
            self._commits.add(done, life_s=_ABANDONED_S)


def _reply(answer: asyncio.Task[AdmitReply]) -> AdmitReply | None:
    return None if answer.cancelled() or answer.exception() else answer.result()
