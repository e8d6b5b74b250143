"""Shows how far the demo is: a live display in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from e2e.demo.story import Claim, HintSample, Story

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 60
_LOG_WIDTH: Final = 120
_PLAIN_PERIOD_S: Final = 2.0


def sparkline(values: list[float], *, top: float) -> str:
    """Return the last values as bars, ``top`` being the full height."""
    return "".join(
        _BARS[min(len(_BARS) - 1, int(v / top * (len(_BARS) - 1)))] if top else " " for v in values[-_WIDTH:]
    )


@dataclass(slots=True)
class Screen:
    """Where the demo writes."""

    console: Console = field(default_factory=lambda: Console(width=None if sys.stdout.isatty() else _LOG_WIDTH))

    def step(self, text: str) -> None:
        """Say what happens next."""
        self.console.print(Text("==> ", style="bold cyan") + Text(text))

    def text(self, text: str) -> None:
        """Show the words of another program as they are."""
        self.console.print(Text(text), soft_wrap=True)

    @contextmanager
    def watching(self, title: str, story: Story) -> Iterator["Watch"]:
        """Show a run of the reader while it lasts."""
        if not self.console.is_terminal:
            yield _PlainWatch(title=title, story=story)
            return
        with Live(console=self.console, refresh_per_second=8) as live:
            yield _LiveWatch(title=title, story=story, live=live)

    def figures(self, runs: dict[str, Story]) -> None:
        """Show what the readers saw, run beside run."""
        table = Table(title="What the reader saw while the link was bad", title_justify="left")
        for column in ("", "tokens", "gap p50", "gap p99", "longest gap", "stalled", "bytes/token"):
            table.add_column(column, justify="right" if column else "left")
        for name, story in runs.items():
            seen = story.figures_in("degraded", "recovery")
            table.add_row(
                name,
                str(seen.tokens),
                f"{seen.gap_p50_s * 1000:.0f} ms",
                f"{seen.gap_p99_s * 1000:.0f} ms",
                f"{seen.gap_max_s * 1000:.0f} ms",
                f"{seen.stall_ratio:.1%}",
                f"{seen.bytes_per_token:.0f}",
            )
        self.console.print(table)

    def claims(self, claims: list[Claim]) -> None:
        """Show what was to be shown, and whether it was."""
        for claim in claims:
            mark = Text("ok    ", style="green") if claim.holds else Text("FAILED ", style="bold red")
            self.console.print(mark + Text(claim.text))


class Watch:
    """A run of the reader that is being shown."""

    def refresh(self) -> None:
        """Show what the story has become."""
        raise NotImplementedError


@dataclass(slots=True)
class _LiveWatch(Watch):
    title: str
    story: Story
    live: Live

    def refresh(self) -> None:
        hints = self.story.hints
        top = max((h.tokens_per_second for h in hints), default=1.0)
        rtts = [h.rtt_us or 0.0 for h in hints]
        phase = next(reversed(self.story.phases), "starting")
        self.live.update(
            Group(
                Text(f"{self.title}: link {phase}", style="bold"),
                Text(f"tokens/s {sparkline([h.tokens_per_second for h in hints], top=top)}", style="green"),
                Text(f"RTT      {sparkline(rtts, top=max(rtts, default=1.0))}", style="magenta"),
                Text(_line(hints[-1]) if hints else "waiting for the first hint"),
            )
        )


@dataclass(slots=True)
class _PlainWatch(Watch):
    title: str
    story: Story
    printed_at: float = 0.0

    def refresh(self) -> None:
        now = time.monotonic()
        if not self.story.hints or now - self.printed_at < _PLAIN_PERIOD_S:
            return
        self.printed_at = now
        phase = next(reversed(self.story.phases), "starting")
        print(f"    {self.title}: link {phase:9} {_line(self.story.hints[-1])}", flush=True, file=sys.stdout)


def _line(hint: HintSample) -> str:
    rtt = "    -" if hint.rtt_us is None else f"{hint.rtt_us / 1000:.1f}"
    lost = "-" if hint.retransmit_ratio is None else f"{hint.retransmit_ratio:.1%}"
    return (
        f"RTT {rtt:>7} ms  retransmits {lost:>6}  health {hint.health:4.2f}"
        f"  {hint.state:9}  hint {hint.tokens_per_second:5.1f} tokens/s in {hint.batch_size:2}s"
    )
