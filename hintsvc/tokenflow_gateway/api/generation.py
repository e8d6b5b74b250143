"""Requests for completions and embeddings: let in, sent to an upstream, and answered in one piece or as a stream."""

import asyncio
import json
from contextlib import suppress
from typing import Final

from tokenflow_api.quantities import seconds
from tokenflow_gateway.admission.estimate import BYTES_PER_TOKEN
from tokenflow_gateway.admission.ticket import Ticket, Wanted
from tokenflow_gateway.api import answers, headers
from tokenflow_gateway.api.gateway import CLOCK, Gateway
from tokenflow_gateway.api.visit import Visit
from tokenflow_gateway.errors import PostponedError
from tokenflow_gateway.identity.bounds import Asked, asked
from tokenflow_gateway.identity.kinds import Kind
from tokenflow_gateway.identity.rewrite import with_max_tokens, with_usage
from tokenflow_gateway.identity.sanitise import to_reader, to_upstream
from tokenflow_gateway.stream.deadlines import patience
from tokenflow_gateway.stream.endings import Ended, Why
from tokenflow_gateway.stream.laws import SocketLaw
from tokenflow_gateway.stream.opening import Opening
from tokenflow_gateway.stream.usage import Usage, told_usage
from tokenflow_gateway.telling.tellings import Telling
from tokenflow_gateway.upstream.attempts import attempts
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.lease import Lease
from tokenflow_gateway.upstream.trial import Attempt, Wish

MOST_ANSWER: Final = 64 << 20
"""Bytes of an answer in one piece."""
_EVENTS: Final = "text/event-stream"


async def generate(gateway: Gateway, visit: Visit) -> None:
    """Answer a request for a completion or an embedding.

    Raises:
        GatewayError: it is refused, or no upstream answers.
    """
    request = visit.request
    body = await gateway.body(request)
    wish = asked(body, Kind(request.path))
    visit.telling = gateway.tellings.begin(visit.identity.tenant, wish, visit.trace, received_at=visit.received_at)
    await _Generation(gateway, visit, asked=wish, telling=visit.telling).run(body)


class _Generation:
    """One such request, once it is known what it asks for."""

    def __init__(self, gateway: Gateway, visit: Visit, *, asked: Asked, telling: Telling) -> None:
        self._gateway = gateway
        self._spec = gateway.config.spec
        self._visit = visit
        self._tenant = visit.identity.tenant
        self._asked = asked
        self._telling = telling
        self._at_work_since: float | None = None

    async def run(self, body: bytes) -> None:
        self._gateway.fleet.check(self._asked.model)
        with suppress(PostponedError):
            # With a hedge two upstreams would work ahead of one check.
            await self._answer(body, ahead=self._spec.gateway.hedge_after is None)
            return
        self._at_work_since = None
        await self._answer(body, ahead=False)

    async def _answer(self, body: bytes, *, ahead: bool) -> None:
        ticket = await self._gateway.door.admit(self._wanted(), ahead=ahead)
        try:
            outgoing = self._outgoing(body, ticket)
            lease = await ticket.take(self._take, give_back=Lease.release)
            sent_at = CLOCK()
            async with attempts(
                self._gateway.fleet,
                self._gateway.client,
                outgoing,
                self._wish(),
                lease=lease,
                confirm=lambda: self._confirm(ticket),
            ) as attempt:
                self._telling.attempted(attempt.upstream.name, tries=attempt.tries, queued_s=ticket.queued_s)
                own = headers.of_request(
                    ticket,
                    attempt,
                    trace_id=self._visit.trace.trace_id,
                    overhead_s=sent_at - self._visit.received_at - ticket.queued_s,
                )
                if attempt.head.headers.get("content-type", "").startswith(_EVENTS):
                    await self._stream(attempt, ticket, own, sent_at=sent_at)
                else:
                    await self._whole(attempt, ticket, own, sent_at=sent_at)
        except asyncio.CancelledError:
            self._left(ticket)
            raise
        finally:
            ticket.release()

    async def _confirm(self, ticket: Ticket) -> None:
        self._at_work_since = self._at_work_since or CLOCK()
        await ticket.confirm(at_work=True)

    def _left(self, ticket: Ticket) -> None:
        """Tell what an upstream did for a reader who did not wait for the answer: it has read the prompt at least."""
        if self._at_work_since is not None:
            usage = Usage(input_tokens=self._asked.input_tokens, output_tokens=0, measured=False)
            ticket.commit(usage, duration_s=CLOCK() - self._at_work_since)
            self._telling.left(usage)

    def _wanted(self) -> Wanted:
        asked, tenant = self._asked, self._tenant
        return Wanted(
            tenant=tenant,
            model=asked.model,
            input_tokens=asked.input_tokens,
            max_tokens=asked.max_tokens,
            completions=asked.choices,
            stream=asked.stream,
            hint=lambda: self._gateway.hint(tenant.name),
        )

    def _take(self) -> Lease | None:
        return self._gateway.fleet.take(self._asked.model, prefix=self._asked.prefix)

    def _wish(self) -> Wish:
        gateway = self._spec.gateway
        timeouts = gateway.timeouts
        return Wish(
            model=self._asked.model,
            prefix=self._asked.prefix,
            connect_s=seconds(timeouts.connect),
            # An answer in one piece begins after its last token.
            first_token_s=seconds(timeouts.first_token if self._asked.stream else timeouts.total),
            # A stream keeps to it by itself, and tells its reader so.
            total_s=None if self._asked.stream else seconds(timeouts.total),
            retries=gateway.retries,
            hedge_after_s=seconds(gateway.hedge_after) if gateway.hedge_after else None,
        )

    def _outgoing(self, body: bytes, ticket: Ticket) -> Outgoing:
        if ticket.max_tokens is not None:
            body = with_max_tokens(body, self._asked, most=ticket.max_tokens)
        request = self._visit.request
        return Outgoing(
            method=request.method,
            target=self._visit.target,
            headers=to_upstream(request.headers, traceparent=self._telling.traceparent),
            body=with_usage(body, self._asked),
        )

    async def _whole(self, attempt: Attempt, ticket: Ticket, own: dict[str, str], *, sent_at: float) -> None:
        body = await attempt.call.read(most=MOST_ANSWER, within_s=seconds(self._spec.gateway.timeouts.total))
        usage = self._measured(body) if attempt.head.status < 400 else None  # noqa: PLR2004 - errors use nothing
        if usage:
            ticket.commit(usage, duration_s=CLOCK() - sent_at)
        self._telling.end(status=attempt.head.status, usage=usage)
        answers.whole(self._visit.answer, attempt.head.status, body, to_reader(attempt.head.headers) | own)

    async def _stream(self, attempt: Attempt, ticket: Ticket, own: dict[str, str], *, sent_at: float) -> None:
        gateway, tenant, answer = self._gateway, self._tenant, self._visit.answer
        route = gateway.route(tenant, upstream=attempt.upstream.name, address=self._visit.identity.address)
        stream = gateway.streams.open(
            Opening(
                call=attempt.call,
                answer=answer,
                route=route,
                trace_id=self._visit.trace.trace_id,
                patience=patience(self._spec.gateway.timeouts),
                progress=self._telling.progress,
                wants_usage=self._asked.wants_usage,
                started=sent_at,
            )
        )
        try:
            told = headers.of_stream(gateway.guide.pace(route, SocketLaw()), gateway.hint(tenant.name, route.path))
            answer.start(attempt.head.status, to_reader(attempt.head.headers) | own | told)
            stream.start()
            await asyncio.wait((stream.ended,))
        finally:
            ended = stream.abandon()
            if ended.why is Why.TIMED_OUT and CLOCK() < sent_at + seconds(self._spec.gateway.timeouts.total):
                # It fell silent: the whole taking long is no fault of the upstream.
                attempt.lease.failed()
            ticket.commit(self._used(ended), duration_s=CLOCK() - sent_at)
            code = ended.error.code if ended.error else ""
            self._telling.end(status=attempt.head.status, usage=self._used(ended), code=code, why=ended.why)

    def _measured(self, body: bytes) -> Usage:
        """Return what an answer says of its usage; where it says nothing, an estimate."""
        told = _usage(body)
        if told:
            return told
        made = 0 if self._asked.kind is Kind.EMBEDDINGS else len(body) // BYTES_PER_TOKEN
        return Usage(input_tokens=self._asked.input_tokens, output_tokens=made, measured=False)

    def _used(self, ended: Ended) -> Usage:
        if ended.usage.measured:
            return ended.usage
        return Usage(input_tokens=self._asked.input_tokens, output_tokens=ended.tokens, measured=False)


def _usage(body: bytes) -> Usage | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        # An engine's own form: what it used is not told.
        return None
    return told_usage(document) if isinstance(document, dict) else None
