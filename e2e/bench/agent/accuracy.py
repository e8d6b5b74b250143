"""How exact the agent's figures are, against what else knows them: the kernel's counters, a server's log, ss."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from e2e.bench.agent.process import ALL_PROBES, AgentProcess, agent
from e2e.bench.agent.site import CLIENT, DISTANT, SERVER, Site, finish
from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.link.delay import ADDRESSES

_STREAM_PORT: Final = 7300
_WEB_PORT: Final = 7310
_BACKLOG_PORT: Final = 7320
_LOSS_PERCENT: Final = 1
_BACKLOG_LIMIT: Final = 8
_BACKLOGS: Final = (1, 4, 9)
"""The kernel lets one more wait than the limit says."""
_WINDOWS_S: Final = 3.0
"""After it what happened before has been counted: two windows, and a bit."""
_GRACE_S: Final = 30.0
_TALK_PORT: Final = 7330
_ROUND_TRIPS_MS: Final = (1, 5, 20, 100)
_READINGS: Final = 4
_ECHOES_CPU: Final = 3
_MAX_DEVIATION: Final = 0.10
_TABLE: Final = "tf-bench"


def accuracy(site: Site, *, stream_s: float, requests: int) -> Iterator[Figure]:
    """Compare the agent's figures with the truth.

    Args:
        site: where the loads run.
        stream_s: seconds of bulk stream over a lossy link.
        requests: HTTP requests to count.
    """
    with agent(site, probes=ALL_PROBES, urgent=True) as running:
        yield from (_round_trip(running, milliseconds=milliseconds) for milliseconds in _ROUND_TRIPS_MS)
        yield _retransmits(running, seconds=stream_s)
        yield _requests(running, count=requests)
        yield from (_backlog(running, waiting=waiting) for waiting in _BACKLOGS)


def _round_trip(running: AgentProcess, *, milliseconds: int) -> Figure:
    site, port = running.site, str(_TALK_PORT)
    lasting = str(_WINDOWS_S + 2 * _READINGS)
    with (
        _path(site, delay_us=500 * milliseconds),
        site.running(DISTANT, "segments", "serve", port),
        site.running(SERVER, "segments", "talk", ADDRESSES[1], port, lasting),
    ):
        time.sleep(_WINDOWS_S)
        with site.running(SERVER, "echoes", ADDRESSES[1], str(_READINGS), cpu=_ECHOES_CPU) as echoes:
            seen = []
            for _ in range(_READINGS):
                time.sleep(1.0)
                seen += running.samples("network_rtt_us", pod=SERVER, port=port)
            truth_ms = 1000 * finish(echoes, what="echoes", timeout_s=_GRACE_S)["round_trip_s"]
    measured_ms = statistics.fmean(seen) / 1000 if seen else 0.0
    return Figure(
        name=f"Round-trip time over a path of {milliseconds} ms, against ICMP echoes",
        value=f"{measured_ms:.2f} ms of {truth_ms:.2f} ms",
        goal=f"within {_MAX_DEVIATION:.0%}",
        met=abs(measured_ms - truth_ms) <= _MAX_DEVIATION * truth_ms,
        how="means of the same seconds; a process between two TUN devices holds packets, a little longer than asked",
    )


@contextmanager
def _path(site: Site, *, delay_us: int) -> Iterator[None]:
    """Open a path from the server to the distant pod, that takes so long in each direction."""
    ends = (site.pods[SERVER].netns, site.pods[DISTANT].netns)
    # Not at a real-time priority: it waits awake, and the kernel stops such programs for a while each second.
    command = ["nice", "--adjustment=-20", sys.executable, "-m", "e2e.link.delay", *ends, str(delay_us), "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as carrier:
        if not carrier.stdout or carrier.stdout.readline() != "ready\n":
            raise BenchError("the delayed path does not open: it needs /dev/net/tun and iproute2")
        yield


def _retransmits(running: AgentProcess, *, seconds: float) -> Figure:
    before, counted = running.site.tcp_counters()["RetransSegs"], _retransmits_seen(running)
    with _loss(running.site), running.site.running(SERVER, "stream", "serve", str(_STREAM_PORT)):
        running.site.run(CLIENT, "stream", "drive", str(_STREAM_PORT), str(seconds), timeout_s=seconds + _GRACE_S)
    time.sleep(_WINDOWS_S)
    truth, seen = running.site.tcp_counters()["RetransSegs"] - before, _retransmits_seen(running) - counted
    return Figure(
        name="Retransmits, against the kernel's own counter",
        value=f"{seen:.0f} of {truth}",
        goal="the same, give or take 1",
        met=truth > 0 and abs(seen - truth) <= 1,
        how=f"a stream of {seconds:g} s, of whose segments {_LOSS_PERCENT} % are dropped; truth: RetransSegs, as nstat",
    )


def _retransmits_seen(running: AgentProcess) -> float:
    return sum(running.samples("network_retrans_count_total", namespace="bench"))


@contextmanager
def _loss(site: Site) -> Iterator[None]:
    rules = f"""
        add table inet {_TABLE}
        add chain inet {_TABLE} in {{ type filter hook input priority 0; }}
        add rule inet {_TABLE} in tcp flags & (syn|fin|rst) == 0 numgen random mod 100 < {_LOSS_PERCENT} drop
    """
    site.inside(SERVER, "nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        site.inside(SERVER, "nft", "delete", "table", "inet", _TABLE)


def _requests(running: AgentProcess, *, count: int) -> Figure:
    log = running.site.scratch / "accuracy.log"
    with running.site.running(SERVER, "web", str(_WEB_PORT), str(log)):
        running.site.run(CLIENT, "requests", "exactly", str(_WEB_PORT), str(count), timeout_s=_GRACE_S)
        time.sleep(_WINDOWS_S)
    truth = len(log.read_text().splitlines())
    port = str(_WEB_PORT)
    served = sum(running.samples("http_requests_total", pod=SERVER, port=port, direction="Served"))
    dialed = sum(running.samples("http_requests_total", pod=CLIENT, port=port, direction="Dialed"))
    return Figure(
        name="HTTP requests, against the server's log",
        value=f"{served:.0f} served and {dialed:.0f} dialed of {truth}",
        goal="the same",
        met=served == dialed == truth,
        how="keep-alive, one after the other, from one pod to another",
    )


def _backlog(running: AgentProcess, *, waiting: int) -> Figure:
    port = str(_BACKLOG_PORT)
    with (
        running.site.running(SERVER, "backlog", "serve", port, str(_BACKLOG_LIMIT)),
        running.site.running(CLIENT, "backlog", "fill", port, str(waiting)),
    ):
        time.sleep(_WINDOWS_S)
        truth = _ss(running.site, port)
        seen = tuple(
            round(sum(running.samples(name, pod=SERVER, port=port)))
            for name in ("socket_backlog_connections", "socket_backlog_limit_connections")
        )
    return Figure(
        name=f"Accept queue with {waiting} connections, against ss",
        value=f"{seen[0]} of {seen[1]}",
        goal=f"{truth[0]} of {truth[1]}",
        met=seen == truth,
        how="connections that nobody accepts; truth: ss -lnt",
    )


def _ss(site: Site, port: str) -> tuple[int, int]:
    """Return the length and the limit of a port's accept queue."""
    words = site.inside(SERVER, "ss", "-lntH", f"sport = :{port}").split()
    return int(words[1]), int(words[2])
