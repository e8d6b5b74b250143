"""The streams that are open, and what their sockets say once a second."""

import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tokenflow_api import tcp_info
from tokenflow_api.windows import OTHER_CLASS, StreamWindows

MAX_ROUTES: Final = 512
"""Routes reported by their own; of the others those of a tenant and upstream are put together."""


@dataclass(frozen=True, slots=True)
class Route:
    """Whose stream goes from where to where."""

    tenant: str
    upstream: str
    destination_class: str

    @property
    def path(self) -> str:
        """Name of the path within its tenant."""
        return f"{self.upstream}/{self.destination_class}"


@dataclass(eq=False, slots=True)
class Stream:
    """One open stream.

    Attributes:
        route: whose it is.
        sock: connection to the reader.
        tokens: tokens handed to the connection so far.
    """

    route: Route
    sock: socket.socket
    tokens: int = 0
    _delivered: float = 0.0
    _acked_before: int | None = None
    _acked: int = 0
    _retransmits: int | None = None

    def start(self) -> None:
        """Note where the connection stands: it may have carried other requests before."""
        info = tcp_info.read(self.sock)
        if info:
            self._acked_before = self._acked = info.acked_bytes
            self._retransmits = info.retransmits

    def observe(self, *, buffered: int) -> "Observation | None":
        """Return what happened since the last call; ``None`` when the connection is closed.

        Delivered tokens are those handed over, times the share of the bytes handed over that the reader
        acknowledged: tokens of one stream are about equally long.

        Args:
            buffered: bytes that wait in this process for the kernel to take them.
        """
        info = tcp_info.read(self.sock)
        if info is None or self._acked_before is None or self._retransmits is None:
            return None
        acked = info.acked_bytes - self._acked_before
        handed_over = acked + info.queued_bytes + buffered
        delivered = self.tokens * acked / handed_over if handed_over else 0.0
        observation = Observation(
            tokens=max(0.0, delivered - self._delivered),
            size=info.acked_bytes - self._acked,
            unsent_bytes=info.unsent_bytes + buffered,
            srtt_us=info.rtt_us,
            min_rtt_us=info.min_rtt_us,
            retransmits=info.retransmits - self._retransmits,
        )
        self._delivered = max(self._delivered, delivered)
        self._acked = info.acked_bytes
        self._retransmits = info.retransmits
        return observation


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One window of one stream; names and units as in ``StreamWindows``."""

    tokens: float
    size: int
    unsent_bytes: int
    srtt_us: int
    min_rtt_us: int
    retransmits: int


def windows(
    observed: Iterable[tuple[Route, Observation]],
    *,
    start_unix_ms: int,
    pod_namespace: str,
    pod_name: str,
    service_port: int,
) -> StreamWindows:
    """Return the table of all streams' windows, one row per route."""
    routes: dict[Route, list[Observation]] = defaultdict(list)
    for route, observation in observed:
        routes[route].append(observation)
    rows = sorted(_bounded(routes).items(), key=lambda row: (row[0].tenant, row[0].path))
    number = len(rows)
    return StreamWindows(
        start_unix_ms=[start_unix_ms] * number,
        tenant=[route.tenant for route, _ in rows],
        upstream=[route.upstream for route, _ in rows],
        destination_class=[route.destination_class for route, _ in rows],
        service_port=[service_port] * number,
        pod_namespace=[pod_namespace] * number,
        pod_name=[pod_name] * number,
        active_streams=[len(seen) for _, seen in rows],
        delivered_tokens=[round(sum(one.tokens for one in seen)) for _, seen in rows],
        delivered_bytes=[sum(one.size for one in seen) for _, seen in rows],
        unsent_bytes=[sum(one.unsent_bytes for one in seen) for _, seen in rows],
        srtt_us=[round(sum(one.srtt_us for one in seen) / len(seen)) for _, seen in rows],
        min_rtt_us=[min(one.min_rtt_us for one in seen) for _, seen in rows],
        retransmits=[sum(one.retransmits for one in seen) for _, seen in rows],
    )


def _bounded(routes: Mapping[Route, list[Observation]]) -> Mapping[Route, list[Observation]]:
    busiest_first = sorted(routes, key=lambda route: len(routes[route]), reverse=True)
    bounded: dict[Route, list[Observation]] = defaultdict(list)
    for rank, route in enumerate(busiest_first):
        named = route if rank < MAX_ROUTES else replace(route, destination_class=OTHER_CLASS)
        bounded[named] += routes[route]
    return bounded
