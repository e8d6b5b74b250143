"""What happened in one run of the reader, and whether the hint followed the link."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from e2e.reader.metrics import Arrival, Figures, figures

FALLEN: Final = 0.6
"""Share of the clear rate that the hint's rate must fall below while the link is bad, unless batches do it alone."""
GROWN: Final = 4.0
"""Factor by which its batches must grow: they come first, and may be all that a bad link needs."""
RESTORED: Final = 0.9
"""Share of the clear rate that it must come back to."""
INFLATED: Final = 2.0
"""Factor by which the eBPF round-trip time must grow while the link is bad."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HintSample:
    """The hint for the reader's path, at ``at`` seconds of the reader's clock."""

    at: float
    tokens_per_second: float
    batch_size: int
    health: float
    state: str
    rtt_us: float | None
    retransmit_ratio: float | None
    seen_by_agent: bool


@dataclass(kw_only=True, slots=True)
class Story:
    """All that the reader printed, and the hints for its path.

    Attributes:
        path: the reader's path, as hints name it; empty until it has said so.
        offset: the reader's clock less this process's.
        phases: when each phase began, by the reader's clock.
        hints: the hints, in order.
        arrivals: what the reader got, in order.
        errors: what went wrong.
    """

    path: str = ""
    offset: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    hints: list[HintSample] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, line: str, *, now: float) -> None:
        """Take in one line of the reader, read at ``now`` by this process's clock."""
        match json.loads(line):
            case {"at": float(at), "path": str(path)}:
                self.path, self.offset = path, at - now
            case {"at": float(at), "phase": str(name)}:
                self.phases[name] = at
            case {"at": float(at), "tokens": int(tokens), "stream": int(stream), "bytes": int(size)}:
                self.arrivals.append(Arrival(at=at, stream=stream, tokens=tokens, size=size))
            case {"error": str(words)}:
                self.errors.append(words)

    def add_hint(self, reply: str, *, now: float) -> None:
        """Take in the answer to a hint read, got at ``now`` by this process's clock."""
        self.hints.append(_hint(now + self.offset, json.loads(reply)["hint"]))

    def window(self, start: str, end: str) -> tuple[float, float]:
        """Return the time between two phases; the last sample where the second did not come."""
        last = max((a.at for a in self.arrivals), default=0.0)
        return self.phases.get(start, last), self.phases.get(end, last)

    def hints_in(self, start: str, end: str) -> list[HintSample]:
        """Return the hints between the start of two phases."""
        low, high = self.window(start, end)
        return [hint for hint in self.hints if low <= hint.at < high]

    def figures_in(self, start: str, end: str) -> Figures:
        """Return what the reader saw between the start of two phases."""
        low, high = self.window(start, end)
        return figures([a for a in self.arrivals if low <= a.at < high], until=high)


def _hint(at: float, hint: dict[str, Any]) -> HintSample:
    signals = hint.get("signals", {})
    return HintSample(
        at=at,
        tokens_per_second=hint["tokens_per_second"],
        batch_size=hint["batch_size"],
        health=hint["health"],
        state=hint["state"],
        rtt_us=signals.get("rtt_us"),
        retransmit_ratio=signals.get("retransmit_ratio"),
        seen_by_agent="agent" not in hint.get("missing", []),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Something that must hold for the demo to have shown what it promises."""

    text: str
    holds: bool


def verdict(story: Story) -> list[Claim]:
    """Judge whether eBPF saw the link go bad, and whether the hint moved with it and came back."""
    clear = story.hints_in("clear", "degraded")
    bad = story.hints_in("degraded", "recovery")
    after = story.hints_in("recovery", "end")
    clear_rate = max((h.tokens_per_second for h in clear), default=0.0)
    low_rate = min((h.tokens_per_second for h in bad), default=clear_rate)
    small = min((h.batch_size for h in clear), default=1)
    large = max((h.batch_size for h in bad), default=small)
    end_rate = after[-1].tokens_per_second if after else 0.0
    clear_rtt = [h.rtt_us for h in clear if h.seen_by_agent and h.rtt_us]
    bad_rtt = [h.rtt_us for h in bad if h.seen_by_agent and h.rtt_us]
    return [
        Claim(text="the agents' eBPF saw the reader's path", holds=bool(clear_rtt and bad_rtt)),
        Claim(
            text=f"the round-trip time grew at least {INFLATED:g} times",
            holds=bool(clear_rtt and bad_rtt) and max(bad_rtt) >= INFLATED * min(clear_rtt),
        ),
        Claim(
            text="retransmits were seen",
            holds=max((h.retransmit_ratio or 0.0 for h in bad if h.seen_by_agent), default=0.0) > 0.0,
        ),
        Claim(
            text=f"the hint moved: batches of {small} to {large}, {clear_rate:.0f} to {low_rate:.0f} tokens/s",
            holds=bool(clear and bad) and (large >= GROWN * small or low_rate <= FALLEN * clear_rate),
        ),
        Claim(text=f"the hint came back: {end_rate:.0f} tokens/s", holds=end_rate >= RESTORED * clear_rate > 0.0),
        Claim(text="tokens arrived in every phase", holds=_tokens_throughout(story)),
    ]


def _tokens_throughout(story: Story) -> bool:
    names = ("clear", "degraded", "recovery", "end")
    return all(story.figures_in(start, end).tokens > 0 for start, end in pairwise(names))
