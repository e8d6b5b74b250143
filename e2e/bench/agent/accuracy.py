"""How exact the agent's figures are, against what else knows them: the kernel's counters, a server's log, ss."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from e2e.bench.agent.figures import Figure
from e2e.bench.agent.process import ALL_PROBES, AgentProcess, agent
from e2e.bench.agent.site import CLIENT, SERVER, Site
from e2e.commands import run

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
_TABLE: Final = "tf-bench"


def accuracy(site: Site, *, stream_s: float, requests: int) -> Iterator[Figure]:
    """Compare the agent's figures with the truth.

    Args:
        site: where the loads run.
        stream_s: seconds of bulk stream over a lossy link.
        requests: HTTP requests to count.
    """
    with agent(site, probes=ALL_PROBES) as running:
        yield _retransmits(running, seconds=stream_s)
        yield _requests(running, count=requests)
        yield from (_backlog(running, waiting=waiting) for waiting in _BACKLOGS)


def _retransmits(running: AgentProcess, *, seconds: float) -> Figure:
    before, counted = running.site.counters()["RetransSegs"], _retransmits_seen(running)
    with _loss(running.site), running.site.running(SERVER, "stream", "serve", str(_STREAM_PORT)):
        running.site.run(CLIENT, "stream", "drive", str(_STREAM_PORT), str(seconds), timeout_s=seconds + _GRACE_S)
    time.sleep(_WINDOWS_S)
    truth, seen = running.site.counters()["RetransSegs"] - before, _retransmits_seen(running) - counted
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
    enter = ["nsenter", f"--net=/var/run/netns/{site.netns}", "nft"]
    rules = f"""
        add table inet {_TABLE}
        add chain inet {_TABLE} in {{ type filter hook input priority 0; }}
        add rule inet {_TABLE} in tcp flags & (syn|fin|rst) == 0 numgen random mod 100 < {_LOSS_PERCENT} drop
    """
    run([*enter, "-f", "-"], stdin=rules, timeout_s=10.0)
    try:
        yield
    finally:
        run([*enter, "delete", "table", "inet", _TABLE], timeout_s=10.0)


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
    words = run(["nsenter", f"--net=/var/run/netns/{site.netns}", "ss", "-lntH", f"sport = :{port}"]).split()
    return int(words[1]), int(words[2])
