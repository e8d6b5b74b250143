"""The links that streams are read over, and who reads there.

All are made up, and described here: a trace that was recorded can take the place of the cellular one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from e2e.bench.pacing.workload import Arrivals
from e2e.link.path import Bursts, Conditions, Phase, outage
from e2e.link.traces import cellular

_STEP_S: Final = 0.5
_STEPS: Final = 64
_USUAL: Final = Arrivals(per_second=0.75)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A link, and who reads over it.

    Attributes:
        name: of it.
        words: what it is.
        phases: of the link.
        arrivals: of requests.
        bulk: whether downloads share the link.
        hard: whether the link is thin, lossy or shared: what pacing is for.
        walks: whether the rate changes all the time, differently for each seed.
    """

    name: str
    words: str
    phases: tuple[Phase, ...]
    arrivals: Arrivals = _USUAL
    bulk: bool = False
    hard: bool = True
    walks: bool = False

    def link(self, seed: int, trace: Sequence[float] = ()) -> tuple[Phase, ...]:
        """Return the phases of a run; rates that walk do so by its seed, or as ``trace`` has them."""
        if not self.walks:
            return self.phases
        rates = trace or cellular(seed, steps=_STEPS, median_kbit=96, least_kbit=16, most_kbit=600)
        walking = Conditions(trace_kbit=tuple(rates), step_s=_STEP_S, delay_ms=35, jitter_ms=20, buffer_kib=128)
        return (Phase(seconds=0, conditions=walking),)


def _always(conditions: Conditions) -> tuple[Phase, ...]:
    return (Phase(seconds=0, conditions=conditions),)


_BEFORE: Final = Conditions(kbit=256, delay_ms=20, buffer_kib=64)
_AFTER: Final = Conditions(kbit=96, delay_ms=60, buffer_kib=64)
_FAIR: Final = Conditions(kbit=512, delay_ms=30, buffer_kib=64)

SCENARIOS: Final = (
    Scenario(
        name="clear",
        words="50 Mbit/s, 20 ms there and back",
        phases=_always(Conditions(kbit=50_000, delay_ms=10)),
        hard=False,
    ),
    Scenario(
        name="thin",
        words="64 kbit/s, 60 ms, 64 KiB of buffer, about 4 streams at once",
        phases=_always(Conditions(kbit=64, delay_ms=30, buffer_kib=64)),
    ),
    Scenario(
        name="shared",
        words="192 kbit/s, 40 ms, 64 KiB of buffer, about 13 streams at once that come in bursts",
        phases=_always(Conditions(kbit=192, delay_ms=20, buffer_kib=64)),
        arrivals=Arrivals(per_second=2.5, variation=2.0),
    ),
    Scenario(
        name="lossy",
        words="3 % of the packets lost by chance, 96 kbit/s, 80 ms",
        phases=_always(Conditions(kbit=96, delay_ms=40, loss_percent=3)),
    ),
    Scenario(
        name="loss alone",
        words="3 % of the packets lost by chance, 80 ms, no limit of the rate",
        phases=_always(Conditions(delay_ms=40, loss_percent=3)),
    ),
    Scenario(
        name="bursty loss",
        words="2 % of the packets lost in bursts of 4 on average (Gilbert-Elliott), 96 kbit/s, 80 ms",
        phases=_always(Conditions(kbit=96, delay_ms=40, bursts=Bursts(enter_percent=0.5, leave_percent=25))),
    ),
    Scenario(
        name="bulk",
        words="three downloads (TCP) beside the streams, 512 kbit/s, 40 ms, 128 KiB of buffer: 2 s when it is full",
        phases=_always(Conditions(kbit=512, delay_ms=20, buffer_kib=128)),
        bulk=True,
    ),
    Scenario(
        name="cellular",
        words="a rate that walks about 96 kbit/s, 16 to 600; 70 ms, up to 20 ms of jitter each way, 128 KiB of buffer",
        phases=(),
        walks=True,
    ),
    Scenario(
        name="hand-over",
        words="256 kbit/s and 40 ms; after 5 s an outage of 1 s, then 96 kbit/s and 120 ms",
        phases=(
            Phase(seconds=5, conditions=_BEFORE),
            outage(1, _AFTER),
            Phase(seconds=0, conditions=_AFTER),
        ),
    ),
    Scenario(
        name="outage",
        words="512 kbit/s and 60 ms, with an outage of 2 s after 5 s",
        phases=(Phase(seconds=5, conditions=_FAIR), outage(2, _FAIR), Phase(seconds=0, conditions=_FAIR)),
        hard=False,
    ),
)
