"""What the agent takes from the programs beside it: each round measures without it and with it.

Agent and loads run at one real-time priority, so that they compete with one another, and with nothing else on the
machine. That is hard on the loads: a program of equal priority waits for the agent's whole turn.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Final

from e2e.bench.agent.process import ALL_PROBES, TCP_PROBES, agent
from e2e.bench.agent.site import CLIENT, SERVER, Site
from e2e.bench.figures import Figure, median_ratio
from tokenflow_api.telemetry_agent import Probe

REQUESTS_PER_SECOND: Final = 1500
_OFF: Final = "off"
_CASES: Final[Mapping[str, Sequence[Probe]]] = MappingProxyType(
    {_OFF: (), "TCP probes": TCP_PROBES, "all probes": ALL_PROBES}
)
_MIN_THROUGHPUT: Final = 0.97
_MAX_LATENCY: Final = MappingProxyType({"TCP probes": 1.03, "all probes": 1.10})
_STREAM_PORT: Final = 7100
_WEB_PORT: Final = 7200
_SERVER_CPU: Final = 1
_CLIENT_CPU: Final = 2
_GRACE_S: Final = 20.0


def impact(site: Site, *, rounds: int, stream_s: float, web_s: float) -> Iterator[Figure]:
    """Measure throughput and latency in rounds, every other one in the opposite order.

    Args:
        site: where the loads run.
        rounds: how many.
        stream_s: seconds of bulk stream in each case of a round.
        web_s: seconds of requests in each case of a round.
    """
    throughput: dict[str, list[float]] = {case: [] for case in _CASES}
    latency: dict[str, list[float]] = {case: [] for case in _CASES}
    with ExitStack() as servers:
        log = str(site.scratch / "requests.log")
        servers.enter_context(site.running(SERVER, "stream", "serve", str(_STREAM_PORT), cpu=_SERVER_CPU))
        servers.enter_context(site.running(SERVER, "web", str(_WEB_PORT), log, cpu=_SERVER_CPU))
        for number in range(rounds):
            cases = list(_CASES)
            for case in reversed(cases) if number % 2 else cases:
                with ExitStack() as agents:
                    if case != _OFF:
                        agents.enter_context(agent(site, probes=_CASES[case], urgent=True))
                    throughput[case].append(_stream(site, seconds=stream_s))
                    latency[case].append(_web(site, seconds=web_s))
    for case in (case for case in _CASES if case != _OFF):
        yield _throughput(throughput[case], throughput[_OFF], case=case, seconds=stream_s)
        yield _latency(latency[case], latency[_OFF], case=case, seconds=web_s)


def _stream(site: Site, *, seconds: float) -> float:
    arguments = ("stream", "drive", str(_STREAM_PORT), str(seconds))
    done = site.run(CLIENT, *arguments, cpu=_CLIENT_CPU, timeout_s=seconds + _GRACE_S)
    return float(done["bytes_per_second"])


def _web(site: Site, *, seconds: float) -> float:
    arguments = ("requests", "steady", str(_WEB_PORT), str(REQUESTS_PER_SECOND), str(seconds))
    done = site.run(CLIENT, *arguments, cpu=_CLIENT_CPU, timeout_s=seconds + _GRACE_S)
    return float(done["p99_s"])


def _throughput(on: Sequence[float], off: Sequence[float], *, case: str, seconds: float) -> Figure:
    ratio = median_ratio(on, off)
    return Figure(
        name=f"Throughput of a stream over loopback, {case}, as a ratio to off",
        value=str(ratio),
        goal=f">= {_MIN_THROUGHPUT:.2f}",
        met=ratio.value >= _MIN_THROUGHPUT,
        how=f"{len(on)} rounds of {seconds:g} s, median of the ratios; off {_median_gbit(off):.1f} Gbit/s",
    )


def _latency(on: Sequence[float], off: Sequence[float], *, case: str, seconds: float) -> Figure:
    ratio, goal = median_ratio(on, off), _MAX_LATENCY[case]
    return Figure(
        name=f"p99 latency of HTTP requests, {case}, as a ratio to off",
        value=str(ratio),
        goal=f"<= {goal:.2f}",
        met=ratio.value <= goal,
        how=f"{len(on)} rounds of {seconds:g} s at {REQUESTS_PER_SECOND} requests/s to an aiohttp server;"
        f" p99 off {statistics.median(off) * 1e6:.0f} µs",
    )


def _median_gbit(rates: Sequence[float]) -> float:
    return 8e-9 * statistics.median(rates)
