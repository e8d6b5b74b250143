"""Requests that the gateway passes on without a look into them."""

import asyncio

from tokenflow_api.quantities import seconds
from tokenflow_api.serving.spans import new_span_id
from tokenflow_gateway.admission.ticket import Wanted
from tokenflow_gateway.api.gateway import Gateway
from tokenflow_gateway.api.routes import OTHER_ROUTE
from tokenflow_gateway.api.visit import Visit
from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front.exchange import Answer
from tokenflow_gateway.identity.sanitise import to_reader, to_upstream
from tokenflow_gateway.upstream.attempts import attempts
from tokenflow_gateway.upstream.call import Call, Outgoing
from tokenflow_gateway.upstream.lease import Lease
from tokenflow_gateway.upstream.trial import Wish


async def pass_on(gateway: Gateway, visit: Visit) -> None:
    """Pass a request to any upstream, and its answer back, unpaced.

    Raises:
        GatewayError: it is refused, or no upstream answers.
    """
    spec, request, tenant = gateway.config.spec.gateway, visit.request, visit.identity.tenant
    body = await gateway.body(request)
    wanted = Wanted(tenant=tenant, model="", input_tokens=0, stream=False, hint=lambda: gateway.hint(tenant.name))
    ticket = await gateway.door.admit(wanted)
    try:
        outgoing = Outgoing(
            method=request.method,
            target=visit.target,
            headers=to_upstream(request.headers, traceparent=visit.trace.child(new_span_id()).traceparent),
            body=body,
        )
        wish = Wish(
            model=None,
            prefix=None,
            connect_s=seconds(spec.timeouts.connect),
            first_token_s=seconds(spec.timeouts.total),
            total_s=seconds(spec.timeouts.total),
        )
        lease = await ticket.take(lambda: gateway.fleet.take(None, prefix=None), give_back=Lease.release)
        async with attempts(gateway.fleet, gateway.client, outgoing, wish, lease=lease) as attempt:
            visit.answer.start(attempt.head.status, {**to_reader(attempt.head.headers), **ticket.headers})
            await _Passage(attempt.call, visit.answer).over
            gateway.tellings.answered(tenant, OTHER_ROUTE, attempt.head.status)
    finally:
        ticket.release()


class _Passage:
    """Hands bytes over as fast as the reader takes them."""

    def __init__(self, call: Call, answer: Answer) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call = call
        self._answer = answer
        answer.on_flow(call.resume)
        call.pipe(self)

    def feed(self, data: bytes) -> None:
        """Take in some bytes."""
        self._answer.write(data)
        if not self._answer.flowing:
            self._call.pause()

    def end(self, error: GatewayError | None) -> None:
        """Take in the end."""
        if error is None:
            self._answer.finish()
        else:
            self._answer.abort()
        if not self.over.done():
            self.over.set_result(None)
