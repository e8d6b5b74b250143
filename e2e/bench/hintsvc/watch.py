"""Reads the hints of every replica without pause, follows every stream, and counts what is lost or wrong.

Each replica is read over a lasting connection and over fresh ones, at the API and at the listener of hint reads.
"""

import asyncio
import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.cluster import Cluster, Replica
from e2e.bench.hintsvc.policy import MOST_TOKENS_PER_SECOND, TENANTS, api_key
from e2e.bench.hintsvc.reader import Answer, Reader
from e2e.bench.programs import LOOPBACK

MAX_GAP_S: Final = 1.5
"""Six rounds of the leader without a snapshot: the hints are not live."""
_PERIOD_S: Final = 0.025
_TIMEOUT_S: Final = 2.0
_QUIET_S: Final = 15.0
"""A stream that says nothing for longer than its keep-alive is opened again."""
_AGAIN_S: Final = 0.05
_TENANT: Final = TENANTS[0]
_MAX_EVENT: Final = 1 << 24


class Outcome(StrEnum):
    """What became of a read."""

    RIGHT = "right"
    LOST = "lost"
    """No whole answer within two seconds."""
    FAILED = "5xx"
    WRONG = "wrong"
    """Another answer than a hint of the tenant within the policy's bounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A read without the answer that it should have had.

    Attributes:
        since: when it was sent, monotonic.
        until: when it was given up, or answered.
        replica: that was asked.
        outcome: what became of it.
        detail: what was said instead.
    """

    since: float
    until: float
    replica: Replica
    outcome: Outcome
    detail: str

    @property
    def excused(self) -> bool:
        """Whether its replica was dead or paused meanwhile."""
        return self.replica.was_out(self.since, self.until)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A snapshot that a subscriber got."""

    at: float
    term: int
    version: int


@dataclass(kw_only=True, slots=True)
class Watch:
    """What was seen.

    Attributes:
        reads: answered or not.
        fallbacks: right answers that were no live hints.
        failures: reads without a right answer.
        troubled: when a replica last gave no live hint, by its name.
        arrivals: snapshots by the name of the replica that sent them, in their order.
    """

    replicas: Sequence[Replica]
    reads: int = 0
    fallbacks: int = 0
    failures: list[Failure] = field(default_factory=list)
    troubled: dict[str, float] = field(default_factory=dict)
    arrivals: dict[str, list[Arrival]] = field(default_factory=dict)

    def counted(self, outcome: Outcome, *, excused: bool = False) -> int:
        """Return how many reads ended so."""
        return sum(one.outcome is outcome and one.excused is excused for one in self.failures)

    def details(self) -> str:
        """Return what the reads that are not excused met, with how often."""
        met = Counter(f"{one.replica.name}: {one.detail}" for one in self.failures if not one.excused)
        return ", ".join(f"{detail} ({number} times)" for detail, number in met.most_common(4))

    def steps_back(self) -> int:
        """Return how often a subscriber got a snapshot that is older than the one before: a stale leader's."""
        return sum(
            (later.term, later.version) < (earlier.term, earlier.version)
            for seen in self.arrivals.values()
            for earlier, later in pairwise(seen)
        )

    def recovered_after(self, moment: float, *, now: float) -> float | None:
        """Return the seconds from ``moment`` until every living replica served live hints from steady snapshots.

        Args:
            moment: monotonic time at which the fault began, or ended.
            now: monotonic time up to which they must have done so for a while.

        Returns:
            ``None`` where a replica does not at the end.
        """
        ends = [moment]
        for replica in self.replicas:
            if replica.was_out(now, now):
                continue
            times = [one.at for one in self.arrivals[replica.name] if one.at >= moment]
            troubled = self.troubled.get(replica.name, moment)
            if not times or now - times[-1] > MAX_GAP_S or now - troubled < MAX_GAP_S:
                return None
            gaps = pairwise([moment, *times])
            ends += [troubled, *(later for earlier, later in gaps if later - earlier > MAX_GAP_S)]
        return max(ends) - moment

    def longest_silence(self) -> float:
        """Return the longest time, in seconds, between two snapshots at a replica that was never out."""
        return max(
            (
                later.at - earlier.at
                for replica in self.replicas
                if not replica.outages
                for earlier, later in pairwise(self.arrivals[replica.name])
            ),
            default=math.inf,
        )

    def take(self, replica: Replica, since: float, answer: Answer) -> None:
        """Judge an answer."""
        wrong = _fault(answer)
        if wrong:
            outcome = Outcome.FAILED if answer.status >= 500 else Outcome.WRONG  # noqa: PLR2004 - HTTP's own number
            self.miss(replica, since, outcome, wrong)
        else:
            self.reads += 1
            if json.loads(answer.body)["hint"]["source"] != "Live":
                self.fallbacks += 1
                self.troubled[replica.name] = time.monotonic()

    def miss(self, replica: Replica, since: float, outcome: Outcome, detail: str) -> None:
        """Note a read that had no right answer."""
        self.reads += 1
        now = time.monotonic()
        self.troubled[replica.name] = now
        self.failures.append(Failure(since=since, until=now, replica=replica, outcome=outcome, detail=detail))


@asynccontextmanager
async def watching(cluster: Cluster) -> AsyncIterator[Watch]:
    """Watch a cluster until the block is left."""
    watch = Watch(replicas=cluster.replicas, arrivals={replica.name: [] for replica in cluster.replicas})
    working = [asyncio.create_task(one) for replica in cluster.replicas for one in _watchers(watch, replica)]
    try:
        yield watch
    finally:
        for task in working:
            task.cancel()
        ends = await asyncio.gather(*working, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise BenchError(f"a reader of the bench failed: {end!r}") from end


def _watchers(watch: Watch, replica: Replica) -> Iterator[Any]:
    for port in (replica.api_port, replica.fast_port):
        yield _read(watch, replica, port, lasting=True)
        yield _read(watch, replica, port, lasting=False)
    yield _follow(watch, replica)


async def _read(watch: Watch, replica: Replica, port: int, *, lasting: bool) -> None:
    with contextlib.closing(Reader(port, authorization=f"Bearer {api_key(_TENANT)}")) as reader:
        while True:
            since = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    watch.take(replica, since, await reader.get(f"/v1/hints/{_TENANT}"))
            except OSError as error:
                watch.miss(replica, since, Outcome.LOST, type(error).__name__)
            if not lasting:
                reader.close()
            await asyncio.sleep(max(0.0, since + _PERIOD_S - time.monotonic()))


async def _follow(watch: Watch, replica: Replica) -> None:
    """Follow the stream; a stream that ends or says nothing for long is opened again."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            source, sink = await asyncio.open_connection(LOOPBACK, replica.fast_port, limit=_MAX_EVENT)
            try:
                sink.write(
                    f"GET /v1/hints/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {api_key(_TENANT)}"
                    "\r\n\r\n".encode()
                )
                while True:
                    async with asyncio.timeout(_QUIET_S):
                        line = await source.readuntil(b"\n")
                    if line.startswith(b"data: "):
                        event = json.loads(line[len(b"data: ") :])
                        watch.arrivals[replica.name].append(Arrival(time.monotonic(), event["term"], event["version"]))
            finally:
                sink.close()
        await asyncio.sleep(_AGAIN_S)


def _fault(answer: Answer) -> str:
    """Return what is wrong with an answer, empty if nothing is."""
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        return f"{answer.status} {answer.body[:120].decode(errors='replace')}"
    try:
        hint = json.loads(answer.body)["hint"]
        bounded = 0 < hint["tokens_per_second"] <= MOST_TOKENS_PER_SECOND
    except (ValueError, KeyError, TypeError):
        return "no hint"
    if hint["tenant"] != _TENANT or not bounded:
        return f"a hint of {hint['tokens_per_second']} tokens/s for {hint['tenant']}"
    return ""
