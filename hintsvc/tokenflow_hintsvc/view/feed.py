"""The open streams: each is told of every snapshot, and takes the newest when it can."""

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple, Self

from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.view.current import View

MAX_SUBSCRIPTIONS: Final = 10_000
MAX_LEAD: Final = 40
"""Snapshots that another replica may be ahead: those of ten seconds."""
SLICE: Final = 50
"""Streams told in one turn of the event loop: hint reads are answered in between."""
KEEP_ALIVE: Final = b": keep-alive\n\n"
KEEP_ALIVE_S: Final = 10.0
STREAM_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
DRAINING: Final = b": draining\n\n"
_IDENTIFIER: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


class Audience(NamedTuple):
    """Callers who are sent the same bytes.

    Attributes:
        tenants: whose hints they may read.
        gateway: whether they are sent the details of snapshots, and the runtime config.
    """

    tenants: frozenset[str]
    gateway: bool

    @classmethod
    def of(cls, caller: Caller) -> Self:
        """Return whom a caller listens with."""
        return cls(caller.readable, Role.GATEWAY in caller.roles)


class Subscription:
    """One open stream.

    It holds no events, only how far it has come: a slow reader misses snapshots, and never lags.

    Attributes:
        audience: whom its bytes are for.
        wake: called when there may be something new to take, or the stream has to end.
    """

    __slots__ = ("_config", "_feed", "_position", "_turn", "audience", "wake")

    def __init__(
        self, feed: "Feed", audience: Audience, wake: Callable[[], None], *, position: tuple[int, int]
    ) -> None:
        self.audience = audience
        self.wake = wake
        self._feed = feed
        self._position = position
        self._turn = feed.turn
        self._config = 0

    def take(self) -> bytes:
        """Return the events that are new; empty when there are none."""
        return self._take_config() + self._take_snapshot()

    def close(self) -> None:
        """End the stream."""
        self._feed.forget(self)

    def _take_config(self) -> bytes:
        if not self.audience.gateway or self._config == self._feed.config_turn:
            return b""
        self._config = self._feed.config_turn
        return self._feed.config_event()

    def _take_snapshot(self) -> bytes:
        position = self._feed.position
        if position <= self._position:
            return b""
        if self._feed.turn > self._turn + 1:
            metrics.OVERWRITTEN.inc(self._feed.turn - self._turn - 1)
        self._position, self._turn = position, self._feed.turn
        return self._feed.snapshot_event(self.audience)


class Feed:
    """Tells all streams of each snapshot, and gateways of each config; bytes are made once for each audience.

    Attributes:
        ended: whether all streams have to end.
        turn: grows with each snapshot.
        config_turn: grows with each config.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._subscriptions: dict[Subscription, None] = {}
        self._snapshot_events: dict[Audience, bytes] = {}
        self._config_event = b""
        self._telling = False
        self._again = False
        self.ended = False
        self.turn = 0
        self.config_turn = 0
        view.on_change(self._next)

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def position(self) -> tuple[int, int]:
        """Term and version of the newest snapshot."""
        return self._view.packed.identity if self._view.packed else (0, 0)

    def announce(self, config: RuntimeConfig) -> None:
        """Hand a new config to all gateways."""
        self._config_event = _event("config", config.model_dump_json().encode())
        self.config_turn += 1
        self._tell()

    def subscribe(self, audience: Audience, wake: Callable[[], None], *, last_event_id: str = "") -> Subscription:
        """Open a stream; it may be given something at once.

        Args:
            audience: who listens.
            wake: called in later turns of the event loop, whenever something new can be taken.
            last_event_id: of the newest snapshot that the caller has, where they resume.

        Raises:
            ProblemError: there are too many.
        """
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise ProblemError(
                503,
                code="TooManyStreams",
                detail=f"this replica has {MAX_SUBSCRIPTIONS} open streams",
                remedy="try again, which may reach another replica, or ask for more replicas",
                retry_after_s=5,
            )
        subscription = Subscription(self, audience, wake, position=self._resumed(last_event_id))
        self._subscriptions[subscription] = None
        metrics.SUBSCRIBERS.set(len(self._subscriptions))
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Tell a stream no more."""
        self._subscriptions.pop(subscription, None)
        metrics.SUBSCRIBERS.set(len(self._subscriptions))

    def end(self) -> None:
        """Let all streams end; their callers resume at another replica."""
        self.ended = True
        self._tell()

    def config_event(self) -> bytes:
        """Return the newest config as an event; it has no id, since streams resume by snapshots."""
        return self._config_event

    def snapshot_event(self, audience: Audience) -> bytes:
        """Return the newest snapshot as an event, with the hints that the audience may read."""
        packed = self._view.packed
        if packed is None:
            return b""
        event = self._snapshot_events.get(audience)
        if event is None:
            document = packed.document(audience.tenants, detailed=audience.gateway)
            event = _event("snapshot", document, identifier=f"{packed.term}-{packed.version}")
            self._snapshot_events[audience] = event
        return event

    def _resumed(self, last_event_id: str) -> tuple[int, int]:
        """Return the snapshot that ``<term>-<version>`` names, (0, 0) where that cannot be.

        A caller who comes from another replica may be ahead of this one, but not by much: waiting for a snapshot that
        never was would be waiting for ever.
        """
        found = _IDENTIFIER.fullmatch(last_event_id)
        if found is None:
            return (0, 0)
        term, version = self.position
        resumed = (int(found[1]), int(found[2]))
        return resumed if resumed <= (term, version + MAX_LEAD) else (0, 0)

    def _next(self) -> None:
        self.turn += 1
        self._snapshot_events.clear()
        self._tell()

    def _tell(self) -> None:
        self._again = self._telling
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell_slice, iter(tuple(self._subscriptions)))

    def _tell_slice(self, remaining: Iterator[Subscription]) -> None:
        told = 0
        for subscription in islice(remaining, SLICE):
            told += 1
            if subscription in self._subscriptions:
                subscription.wake()
        if told == SLICE:
            asyncio.get_running_loop().call_soon(self._tell_slice, remaining)
            return
        self._telling = False
        if self._again:
            self._tell()


def _event(name: str, document: bytes, *, identifier: str = "") -> bytes:
    line = f"id: {identifier}\n" if identifier else ""
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), line.encode(), document)
