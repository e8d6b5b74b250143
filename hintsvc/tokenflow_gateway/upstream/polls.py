"""Looks at an upstream again and again: how busy it is, and which models it lists."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from tokenflow_gateway.errors import GatewayError, UpstreamBrokeOffError
from tokenflow_gateway.upstream import metrics
from tokenflow_gateway.upstream.call import Outgoing
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.load import parse_load
from tokenflow_gateway.upstream.member import Member
from tokenflow_gateway.upstream.models import parse_models

_log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Longest that one look takes."""
LONGEST_PAUSE_S: Final = 10.0
"""Between two looks at what cannot be seen."""
MOST_BYTES: Final = 4 * 1024 * 1024
_JITTER: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Poll:
    """What is looked at.

    Attributes:
        what: its name, for logs and metrics.
        every_s: seconds between two looks.
        look: looks once.
    """

    what: str
    every_s: float
    look: Callable[[UpstreamClient, Member], Awaitable[None]]


async def _look_at_load(client: UpstreamClient, member: Member) -> None:
    member.saw_load(parse_load(await _get(client, member, member.spec.metrics_path)))


async def _look_at_models(client: UpstreamClient, member: Member) -> None:
    member.saw_models(parse_models(await _get(client, member, "/v1/models"), upstream=member.spec.name))


POLLS: Final = (
    Poll(what="metrics", every_s=1.0, look=_look_at_load),
    Poll(what="models", every_s=10.0, look=_look_at_models),
)


async def follow(poll: Poll, client: UpstreamClient, member: Member, *, seen: Callable[[], None]) -> None:
    """Look for ever, more rarely at what cannot be seen; ``seen`` is called after each look."""
    failures = 0
    while True:
        try:
            await poll.look(client, member)
        except GatewayError as error:
            failures += 1
            metrics.POLLS_FAILED.labels(member.spec.name, poll.what).inc()
            if failures == 1:
                extra = {"upstream": member.spec.name, "what": poll.what, "reason": error.message}
                _log.warning("an upstream does not tell of itself", extra=extra)
        else:
            failures = 0
        seen()
        pause = min(LONGEST_PAUSE_S, poll.every_s * 2.0 ** min(failures, 10))
        await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - no secret


async def _get(client: UpstreamClient, member: Member, path: str) -> bytes:
    outgoing = Outgoing(method="GET", target=path)
    async with client.call(member.spec, outgoing, connect_s=LOOK_S) as call:
        head = await call.head(within_s=LOOK_S)
        body = await call.read(most=MOST_BYTES, within_s=LOOK_S)
    if head.status != HTTPStatus.OK:
        raise UpstreamBrokeOffError(f"upstream {member.spec.name!r} answered {path} with status {head.status}")
    return body
