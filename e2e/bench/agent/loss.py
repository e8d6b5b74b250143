"""Whether windows are lost while the hint service is away, and when the agent is killed meanwhile."""

import time
from collections.abc import Iterator
from typing import Final

from e2e.bench.agent.ingest import Ingest
from e2e.bench.agent.process import TCP_PROBES, AgentProcess, agent
from e2e.bench.agent.site import CLIENT, SERVER, Site
from e2e.bench.figures import Figure

_PORT: Final = 7400
_CONNECTIONS: Final = 20
_RATE: Final = 2000
_LONGEST_S: Final = 600
_DELIVERED_S: Final = 60.0
_WARM_UP_S: Final = 5.0
_POLL_S: Final = 0.2


def losses(site: Site, *, outage_s: float) -> Iterator[Figure]:
    """Take the hint service away for ``outage_s``, then again while the agent is killed."""
    ingest = Ingest()
    load = ("segments", "drive", str(_PORT), str(_CONNECTIONS), str(_RATE), str(_LONGEST_S))
    with ingest.listening():
        url = ingest.url
    with site.running(SERVER, "segments", "serve", str(_PORT)), site.running(CLIENT, *load):
        with agent(site, probes=TCP_PROBES, ingest=[url]) as running:
            with ingest.listening():
                time.sleep(_WARM_UP_S)
            time.sleep(outage_s)
            with ingest.listening():
                yield _delivered(ingest, running, name=f"Windows lost over an outage of {outage_s:.0f} s")
            time.sleep(outage_s / 4)
            counted = _counted(running)
            running.kill()
        with agent(site, probes=TCP_PROBES, ingest=[url]), ingest.listening():
            _until(ingest, counted)
            yield _survived(ingest, counted)


def _delivered(ingest: Ingest, running: AgentProcess, *, name: str) -> Figure:
    _until(ingest, _counted(running))
    return Figure(
        name=name,
        value=f"{ingest.missing()} of {len(_first_boot(ingest))}",
        goal="0",
        met=ingest.missing() == 0,
        how=f"{_RATE} segments/s throughout; {ingest.duplicates} windows came twice, and were known as such",
    )


def _survived(ingest: Ingest, counted: int) -> Figure:
    segments = sum(_first_boot(ingest).values())
    return Figure(
        name="Segments lost by kill -9 during an outage, but for the window being built",
        value=f"{max(0, counted - segments)} of {counted}",
        goal="0",
        met=segments >= counted and ingest.missing() == 0,
        how=f"the killed agent had told of {counted} segments in its metrics; {segments} came, {ingest.missing()}"
        " windows are missing in between",
    )


def _counted(running: AgentProcess) -> int:
    return round(sum(running.samples("network_segments_received_total", namespace="bench")))


def _until(ingest: Ingest, counted: int) -> None:
    """Wait until what the first agent had counted has come; what has not come by then is lost."""
    deadline = time.monotonic() + _DELIVERED_S
    while sum(_first_boot(ingest).values()) < counted and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _first_boot(ingest: Ingest) -> dict[int, int]:
    """Return what came of the first agent's start."""
    return next(iter(ingest.segments.values()), {})
