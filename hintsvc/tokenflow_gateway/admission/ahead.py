"""Whether a request may go to its upstream while the hint service is still asked for its quota.

The hint service decides on every request that reaches an upstream, and no reader is sent anything of an answer before
it has. But a tenant to whom its last answer left plenty is most likely let in again: its requests go ahead, and are
checked while the upstream works. One that is refused after all cost some milliseconds of an upstream's work. The law
bounds how much: what all gateways have sent ahead is never more than half of what was left, and the other half is there
for what others take meanwhile.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from tokenflow_api.quota import AdmitReply

RECENT_S: Final = 10.0
"""Age from which on an answer says nothing: others may have taken a sixth of a minute's limit since."""
PART: Final = 2
"""What was left is divided by this, and by the number of gateways."""


class Room(NamedTuple):
    """What requests take of a tenant's limits, or what is left of these."""

    requests: int = 0
    tokens: int = 0
    streams: int = 0

    def with_more(self, other: "Room") -> "Room":
        """Return both together."""
        return Room(*map(int.__add__, self, other))

    def with_less(self, other: "Room") -> "Room":
        """Return this without the other."""
        return Room(*map(int.__sub__, self, other))


NOTHING: Final = Room()


def may_go_ahead(asked: Room, *, unanswered: Room, left: Room, gateways: int) -> bool:
    """Return whether a request may be sent ahead of its check.

    Args:
        asked: what it takes.
        unanswered: what those take whose checks are under way.
        left: what the last answer said is left.
        gateways: that share the limits.
    """
    wanted = unanswered.with_more(asked)
    return all(PART * gateways * most <= there for most, there in zip(wanted, left, strict=True))


@dataclass(slots=True)
class _Tenant:
    unanswered: Room = NOTHING
    left: Room = NOTHING
    answered_at: float = float("-inf")


class Outlook:
    """What each tenant had left when its last check was answered, and what it asks for since.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tenants: defaultdict[str, _Tenant] = defaultdict(_Tenant)

    def begin(self, tenant: str, takes: Room, *, gateways: int) -> bool:
        """Count a request whose check begins; return whether it may be sent ahead of it."""
        known = self._tenants[tenant]
        recent = self._clock() - known.answered_at < RECENT_S
        ahead = recent and may_go_ahead(takes, unanswered=known.unanswered, left=known.left, gateways=gateways)
        known.unanswered = known.unanswered.with_more(takes)
        return ahead

    def end(self, tenant: str, takes: Room) -> None:
        """Take in that a check is over, with or without an answer."""
        known = self._tenants[tenant]
        known.unanswered = known.unanswered.with_less(takes)

    def hear(self, tenant: str, reply: AdmitReply | None) -> None:
        """Take in an answer, or with ``None`` that there was none.

        Only one that admits, and that all replicas stand for, says anything of the next request.
        """
        known = self._tenants[tenant]
        if reply is None or reply.refusal is not None or reply.local:
            known.left = NOTHING
        else:
            known.left = Room(reply.requests.remaining, reply.tokens.remaining, reply.streams_left)
        known.answered_at = self._clock()
