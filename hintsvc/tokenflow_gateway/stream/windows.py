"""Puts what happened to the streams of a window into one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tokenflow_api.windows import OTHER_CLASS, StreamWindows
from tokenflow_gateway.stream.meters import Observation
from tokenflow_gateway.stream.routes import Route

MAX_ROUTES: Final = 512
"""Routes reported by their own; of the others those of a tenant and upstream are put together."""
MAX_SEEN: Final = 4096
"""Routes told apart within a window at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where this gateway runs, as the agents see it.

    Attributes:
        pod_namespace: of its pod.
        pod_name: of its pod.
        service_port: that it serves at.
    """

    pod_namespace: str
    pod_name: str
    service_port: int


@dataclass(kw_only=True, slots=True)
class _Sums:
    streams: int = 0
    seen: int = 0
    tokens: float = 0.0
    size: float = 0.0
    unsent_bytes: int = 0
    srtt_us: int = 0
    min_rtt_us: int = 2**63 - 1
    retransmits: float = 0.0

    def add(self, other: "Observation | _Sums", *, streams: int, seen: int = 1) -> None:
        self.streams += streams
        self.seen += seen
        self.tokens += other.tokens
        self.size += other.size
        self.unsent_bytes += other.unsent_bytes
        self.srtt_us += other.srtt_us
        self.min_rtt_us = min(self.min_rtt_us, other.min_rtt_us)
        self.retransmits += other.retransmits


@dataclass(slots=True)
class WindowTable:
    """Sums by route."""

    _routes: dict[Route, _Sums] = field(default_factory=dict)

    def add(self, route: Route, seen: Observation, *, streams: int) -> None:
        """Take in what happened to one stream; ``streams`` is 1 while it is open, and 0 once it ended."""
        sums = self._routes.get(route)
        if sums is None:
            if len(self._routes) >= MAX_SEEN:
                route = replace(route, destination_class=OTHER_CLASS)
            sums = self._routes.setdefault(route, _Sums())
        sums.add(seen, streams=streams)

    def windows(self, start_unix_ms: int, *, place: Place) -> StreamWindows:
        """Return the table, one row per route."""
        rows = sorted(_bounded(self._routes).items(), key=lambda row: (row[0].tenant, row[0].path))
        number = len(rows)
        return StreamWindows(
            start_unix_ms=[start_unix_ms] * number,
            tenant=[route.tenant for route, _ in rows],
            upstream=[route.upstream for route, _ in rows],
            destination_class=[route.destination_class for route, _ in rows],
            service_port=[place.service_port] * number,
            pod_namespace=[place.pod_namespace] * number,
            pod_name=[place.pod_name] * number,
            active_streams=[sums.streams for _, sums in rows],
            delivered_tokens=[round(sums.tokens) for _, sums in rows],
            delivered_bytes=[round(sums.size) for _, sums in rows],
            unsent_bytes=[sums.unsent_bytes for _, sums in rows],
            srtt_us=[round(sums.srtt_us / sums.seen) for _, sums in rows],
            min_rtt_us=[sums.min_rtt_us for _, sums in rows],
            retransmits=[round(sums.retransmits) for _, sums in rows],
        )


def _bounded(routes: Mapping[Route, _Sums]) -> Mapping[Route, _Sums]:
    busiest_first = sorted(routes, key=lambda route: routes[route].seen, reverse=True)
    bounded: dict[Route, _Sums] = {}
    for rank, route in enumerate(busiest_first):
        named = route if rank < MAX_ROUTES else replace(route, destination_class=OTHER_CLASS)
        sums = routes[route]
        bounded.setdefault(named, _Sums()).add(sums, streams=sums.streams, seen=sums.seen)
    return bounded
