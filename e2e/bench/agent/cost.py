"""Processor time and memory of the agent while many small segments pass."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from e2e.bench.agent.process import ALL_PROBES, TCP_PROBES, AgentProcess, agent
from e2e.bench.agent.site import CLIENT, SERVER, Site, finish
from e2e.bench.figures import Figure

CONNECTIONS: Final = 200
LOADS: Final = ((10_000, 1.0), (100_000, 5.0))
"""Segments per second, and the share of a core that they may cost, in percent."""
MAX_RESIDENT_BYTES: Final = 40_000_000
_PORT: Final = 7000
_WARM_UP_S: Final = 2.0
_AFTER_S: Final = 1.0
"""The load goes on for so long, that it may not end before the measurement."""
_GRACE_S: Final = 10.0
_PER_PROCESS: Final = 25_000.0
"""Segments per second that one Python process can exchange with ease."""


def costs(site: Site, *, seconds: float) -> Iterator[Figure]:
    """Measure the agent's cost under each load, with the TCP probes and with all of them."""
    for title, probes in (("TCP probes", TCP_PROBES), ("all probes", ALL_PROBES)):
        with agent(site, probes=probes, statistics=True) as running:
            for rate, goal in LOADS:
                yield from _cost(running, title=title, rate=rate, goal_percent=goal, seconds=seconds)
            yield from _memory(running, title=title)


def _cost(running: AgentProcess, *, title: str, rate: int, goal_percent: float, seconds: float) -> Iterator[Figure]:
    pairs = max(1, round(rate / _PER_PROCESS))
    with ExitStack() as stack:
        for port in range(_PORT, _PORT + pairs):
            stack.enter_context(running.site.running(SERVER, "segments", "serve", str(port)))
        drivers = [
            stack.enter_context(
                running.site.running(
                    *(CLIENT, "segments", "drive", str(port), str(CONNECTIONS // pairs)),
                    *(str(rate / pairs), str(_WARM_UP_S + seconds + _AFTER_S)),
                )
            )
            for port in range(_PORT, _PORT + pairs)
        ]
        time.sleep(_WARM_UP_S)
        before, counted = running.cost(), running.site.tcp_counters()["InSegs"]
        time.sleep(seconds)
        after, segments = running.cost(), running.site.tcp_counters()["InSegs"] - counted
        for driver in drivers:
            finish(driver, what="segments", timeout_s=_GRACE_S)
    lasted = after.at - before.at
    process = 100 * (after.process_s - before.process_s) / lasted
    programs = 100 * (after.programs_s - before.programs_s) / lasted
    runs = after.program_runs - before.program_runs
    each = (after.programs_s - before.programs_s) / runs * 1e9 if runs else 0.0
    yield Figure(
        name=f"CPU at {rate:,} segments/s, {title}",
        value=f"{process + programs:.2f} % of a core ({process:.2f} process, {programs:.2f} programs)",
        goal=f"< {goal_percent:.0f} %",
        met=process + programs < goal_percent,
        how=f"{segments / lasted:,.0f} segments/s counted on {CONNECTIONS} connections over {lasted:.0f} s;"
        f" {runs / lasted:,.0f} program runs/s of {each:.0f} ns",
    )


def _memory(running: AgentProcess, *, title: str) -> Iterator[Figure]:
    resident = running.cost().resident_bytes
    yield Figure(
        name=f"Resident memory, {title}",
        value=f"{resident / 1e6:.1f} MB",
        goal=f"< {MAX_RESIDENT_BYTES / 1e6:.0f} MB",
        met=resident < MAX_RESIDENT_BYTES,
        how="VmRSS of the agent after the loads above;"
        f" the compiling child had at most {running.compiler_peak_bytes / 1e6:.0f} MB, and ends",
    )
