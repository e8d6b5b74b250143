"""One upstream that is asked for an answer, and what comes of it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from tokenflow_api.pacing_policy import Upstream
from tokenflow_gateway.errors import GatewayError, UpstreamError, UpstreamKeyRefusedError, UpstreamTimeoutError
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.call import Call, Head, Outgoing
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.keys import KEY_FILE
from tokenflow_gateway.upstream.lease import Lease

_ELSEWHERE: Final = frozenset((HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT))
"""Answers after which another upstream may do better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a request asks for, and how long it may take.

    Attributes:
        model: as ``Fleet.take`` has it.
        prefix: likewise.
        connect_s: for each connection.
        first_token_s: until the answer's body begins, all tries together.
        total_s: for everything; ``None`` leaves that to whoever reads the answer.
        retries: further tries.
        hedge_after_s: silence after which a second upstream is asked as well; ``None`` never does.
    """

    model: str | None
    prefix: bytes | None
    connect_s: float
    first_token_s: float
    total_s: float | None
    retries: int = 0
    hedge_after_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The try that counts.

    Attributes:
        upstream: that answered.
        call: to it, whose answer has begun.
        head: of the answer.
        tries: how many upstreams were asked.
        lease: of the upstream; tell it if the answer fails in a way that the connection does not show.
    """

    upstream: Upstream
    call: Call
    head: Head
    tries: int
    lease: Lease


class Trial:
    """A request at one upstream, until its answer begins.

    Args:
        lease: of the upstream; it is given back at the end.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._call: Call | None = None
        self._head: Head | None = None
        self._error: GatewayError | None = None

    async def run(
        self,
        client: UpstreamClient,
        outgoing: Outgoing,
        *,
        connect_s: float,
        until: float,
        confirm: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """Ask, and keep what comes of it: an answer, or an error of the upstream.

        Args:
            client: to send with.
            outgoing: the request.
            connect_s: for the connection.
            until: by the monotonic clock, when the answer's body must have begun.
            confirm: called once the request was sent.

        Raises:
            InvalidRequestError: the request cannot be sent to any upstream.
            GatewayError: whatever ``confirm`` raises.
        """
        try:
            self._call = await client.send(self.lease.upstream, outgoing, connect_s=connect_s)
            if confirm is not None:
                await confirm()
            if self.lease.probe:
                # A head shows that the upstream lives; its first token may be long in coming.
                self.lease.answered(await self._call.head(within_s=max(0.0, until - time.monotonic())))
            self._head = _taken(
                self.lease.upstream, await self._call.begin(within_s=max(0.0, until - time.monotonic()))
            )
        except (UpstreamError, UpstreamTimeoutError) as error:
            self._error = error
            self.lease.failed()
            metrics.ERRORS.labels(self.lease.upstream.name, error.code).inc()
        else:
            self.lease.answered(self._head)

    @property
    def will_do(self) -> bool:
        """Whether this is an answer that another upstream would not better."""
        return self._head is not None and self._head.status not in _ELSEWHERE

    @property
    def may_be_repeated(self) -> bool:
        """Whether there is time to ask another upstream: an answer that did not begin in time has used it all."""
        return not self.will_do and not isinstance(self._error, UpstreamTimeoutError)

    def attempt(self, *, tries: int) -> Attempt:
        """Return the answer.

        Raises:
            UpstreamError: there is none.
            UpstreamTimeoutError: it did not begin in time.
        """
        if self._error is not None:
            raise self._error
        if self._call is None or self._head is None:
            raise RuntimeError("the trial has not run")
        return Attempt(upstream=self.lease.upstream, call=self._call, head=self._head, tries=tries, lease=self.lease)

    def judge(self) -> None:
        """Report an answer that broke off after it had begun."""
        if self._call is not None and self._call.error is not None:
            self.lease.failed()
            metrics.ERRORS.labels(self.lease.upstream.name, self._call.error.code).inc()

    def close(self) -> None:
        """Cancel what is under way, and give back the lease."""
        if self._call is not None:
            self._call.cancel()
        self.lease.release()


def _taken(upstream: Upstream, head: Head) -> Head:
    """Return the head of an answer to a request whose key was taken.

    Readers' keys never reach an upstream, so that one who is told 401 would look for the fault in the wrong place.

    Raises:
        UpstreamKeyRefusedError: it was not.
    """
    if head.status != HTTPStatus.UNAUTHORIZED:
        return head
    raise UpstreamKeyRefusedError(
        f"upstream {upstream.name!r} refuses the gateway's API key: put one that it takes as value {KEY_FILE} into the"
        " Secret that spec.gateway.upstreams[].apiKeySecretRef names"
    )
