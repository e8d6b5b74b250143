"""What a run was like, by figures; and the files that hold the runs, a line of JSON for each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from e2e.bench.errors import BenchError
from e2e.bench.pacing.reader import Stream
from e2e.bench.report import Machine, machine
from tokenflow_client._command import measures
from tokenflow_client._command.measures import Arrival

READING: Final = 10.0
"""Tokens per second at which the imagined person reads."""
PROMISED_S: Final = 1.0
"""Time to the first token that was promised."""
TIMELINE_S: Final = 0.5
_ON_TIME: Final = 0.95
_NO_ANSWER: Final = 0
_OK: Final = 200
_USUAL_GAP_S: Final = 1 / 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the streams of a run were like, together. Times are in seconds.

    What had not arrived when the run ended counts as arriving then: its age, and the reader's wait, are at least that.

    Attributes:
        streams: that were asked for.
        whole: of those, streams that came to their end.
        tokens: that arrived.
        ttft_p50: time to the first token, median.
        ttft_p99: the same at the 99th percentile.
        gap_p50: time between two events of a stream, median.
        gap_p99: the same at the 99th percentile.
        stall_ratio: share of the reading time that a person at ``READING`` waited.
        stalled: seconds of it.
        quality: mean quality of experience of Andes.
        on_time: share of the tokens that were there when due.
        throughput: tokens per second of use to the readers: those that they had come to read.
        age_p50: age of a token when it arrived, median; ``None`` where tokens do not tell.
        age_p99: the same at the 99th percentile.
        body_per_token: bytes of HTTP body for each token.
        goodput: share of the streams whose first token, and 95 % of all, came as promised.
        shares: tokens that each tenant got.
    """

    streams: int
    whole: int
    tokens: int
    ttft_p50: float
    ttft_p99: float
    gap_p50: float
    gap_p99: float
    stall_ratio: float
    stalled: float
    quality: float
    on_time: float
    throughput: float
    age_p50: float | None
    age_p99: float | None
    body_per_token: float
    goodput: float
    shares: dict[str, int]


def measured(streams: Sequence[Stream], *, until_s: float, since_s: float = 0.0) -> Measured:
    """Return what streams were like that were watched until ``until_s``.

    Args:
        streams: as the reader noted them.
        until_s: seconds after which they were no longer watched.
        since_s: tokens that arrived earlier are left out of the tenants' shares.
    """
    each = [_Reader(stream, until_s) for stream in streams]
    stalls = [one.stalls for one in each]
    ages = [age for one in each for age in one.ages]
    gaps = [gap for one in each for gap in measures.gaps(one.arrivals)]
    asked = sum(stream.ask.tokens for stream in streams)
    tokens = sum(one.tokens for one in each)
    shares: dict[str, int] = {}
    for stream in streams:
        came = sum(tokens for at_s, tokens, _ in stream.arrivals if at_s >= since_s)
        shares[stream.ask.tenant] = shares.get(stream.ask.tenant, 0) + came
    reading = sum(one.reading_s for one in stalls)
    return Measured(
        streams=len(each),
        whole=sum(stream.done for stream in streams),
        tokens=tokens,
        ttft_p50=measures.percentile([one.first_s for one in each], 0.5) or 0.0,
        ttft_p99=measures.percentile([one.first_s for one in each], 0.99) or 0.0,
        gap_p50=measures.percentile(gaps, 0.5) or 0.0,
        gap_p99=measures.percentile(gaps, 0.99) or 0.0,
        stall_ratio=sum(one.waited_s for one in stalls) / reading if reading else 0.0,
        stalled=sum(one.waited_s for one in stalls),
        quality=fmean(one.quality for one in each),
        on_time=sum(one.on_time for one in each) / asked,
        throughput=sum(one.read for one in each) / until_s,
        age_p50=measures.percentile(ages, 0.5),
        age_p99=measures.percentile(ages, 0.99),
        body_per_token=sum(size for stream in streams for *_, size in stream.arrivals) / max(1, tokens),
        goodput=fmean(one.good for one in each),
        shares=shares,
    )


def check_admitted(streams: Sequence[Stream], *, arm: str) -> None:
    """Raise where a stream was refused: what is compared is then not the same.

    Raises:
        BenchError: one was.
    """
    for stream in streams:
        if stream.status not in (_NO_ANSWER, _OK):
            raise BenchError(f"{arm} refused a stream with {stream.status}: {stream.told}")


def timeline(streams: Sequence[Stream], until_s: float) -> list[int]:
    """Return how many tokens had arrived after each ``TIMELINE_S``, all streams together."""
    arrivals = sorted((at_s, tokens) for stream in streams for at_s, tokens, _ in stream.arrivals)
    counts = [0] * (int(until_s / TIMELINE_S) + 1)
    for at_s, tokens in arrivals:
        counts[min(int(at_s / TIMELINE_S) + 1, len(counts) - 1)] += tokens
    return list(accumulate(counts))


class _Reader:
    """Somebody who reads one stream, until the run ends."""

    def __init__(self, stream: Stream, until_s: float) -> None:
        self._stream = stream
        self._until_s = until_s
        self.arrivals = [Arrival(*arrival) for arrival in stream.arrivals]
        self.tokens = sum(arrival.tokens for arrival in self.arrivals)
        missing = 0 if stream.done else max(0, stream.ask.tokens - self.tokens)
        self._missing = [Arrival(until_s, missing, 0)] if missing else []
        self.first_s = measures.first_token(self._all, start_s=stream.ask.at_s) or 0.0
        self.stalls = measures.stalls(self.arrivals, rate=READING, end_s=until_s if missing else None)
        self.quality = measures.quality(self._all, start_s=stream.ask.at_s, rate=READING, first_token_s=PROMISED_S)
        self.on_time = measures.on_time(self.arrivals, rate=READING)
        self.read = measures.read_by(self.arrivals, rate=READING, until_s=until_s)

    @property
    def _all(self) -> list[Arrival]:
        return [*self.arrivals, *self._missing]

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        return self.first_s <= PROMISED_S and self.on_time >= _ON_TIME * self._stream.ask.tokens

    @property
    def ages(self) -> list[float]:
        """The ages of the tokens that arrived, and of those that must have been generated and did not arrive."""
        ages = self._stream.ages_s
        if not ages or not self._missing:
            return ages
        last_s = [arrival.at_s for arrival in self.arrivals if arrival.tokens][-1] - ages[-1]
        unseen = min(self._missing[0].tokens, int(max(0.0, self._until_s - last_s) / _USUAL_GAP_S))
        return ages + [self._until_s - last_s - number * _USUAL_GAP_S for number in range(1, unseen + 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of one arm.

    Attributes:
        scenario: what it was measured on.
        arm: what was measured.
        seed: of all that chance decided.
        figures: what was met, by name.
    """

    scenario: str
    arm: str
    seed: int
    figures: Mapping[str, Any]


class Results:
    """The runs of one part, in a file that grows with each.

    Args:
        file: of JSON lines: the machine first, then the runs.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.machine: Machine | None = None
        self.versions: dict[str, str] = {}
        self.runs: list[Run] = []
        if file.exists():
            head, *lines = map(json.loads, file.read_text().splitlines())
            self.machine, self.versions = Machine(**head["machine"]), head["versions"]
            self.runs = [Run(**line) for line in lines]

    def begin(self, versions: Mapping[str, str]) -> None:
        """Write the head, where there is none yet."""
        if self.machine is None:
            self.machine, self.versions = machine(), dict(versions)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._append({"machine": asdict(self.machine), "versions": self.versions})

    def add(self, run: Run) -> None:
        """Keep a run."""
        self.runs.append(run)
        self._append(asdict(run))

    def has(self, scenario: str, seed: int) -> bool:
        """Whether a scenario was measured with this seed before."""
        return any(run.scenario == scenario and run.seed == seed for run in self.runs)

    def scenarios(self) -> list[str]:
        """Return the scenarios, in the order of their first runs."""
        return list(dict.fromkeys(run.scenario for run in self.runs))

    def arms(self, scenario: str) -> list[str]:
        """Return the arms of a scenario, in the order of their first runs."""
        return list(dict.fromkeys(run.arm for run in self.runs if run.scenario == scenario))

    def values(self, scenario: str, arm: str, figure: str) -> list[float]:
        """Return a figure of each run of an arm, by seed; runs without it are left out."""
        runs = sorted(self._of(scenario, arm), key=lambda run: run.seed)
        return [float(run.figures[figure]) for run in runs if run.figures.get(figure) is not None]

    def _of(self, scenario: str, arm: str) -> Iterator[Run]:
        return (run for run in self.runs if (run.scenario, run.arm) == (scenario, arm))

    def _append(self, document: Mapping[str, Any]) -> None:
        with self._file.open("a") as lines:
            lines.write(json.dumps(document) + "\n")
