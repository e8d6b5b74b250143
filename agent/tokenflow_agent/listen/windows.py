"""Readings of one window as rows for the wire."""

from collections.abc import Iterable

from tokenflow_agent.identity import Pod
from tokenflow_agent.listen.reading import Reading
from tokenflow_api.windows import MAX_ROWS, ListenWindows


def table(readings: Iterable[tuple[Pod, Reading]], *, start_unix_ms: int) -> ListenWindows:
    """Return the readings of one window as a table, one row per pod and port.

    Sockets that share a port have a queue each: the fullest is told, and what all of them turned away. At most
    ``MAX_ROWS`` rows, those with the fullest queues.
    """
    rows: dict[tuple[Pod, int], Reading] = {}
    for pod, reading in readings:
        held = rows.get((pod, reading.port))
        rows[pod, reading.port] = _joined(held, reading) if held else reading
    fullest = sorted(rows.items(), key=lambda item: (-_fullness(item[1]), item[0][0].uid, item[0][1]))[:MAX_ROWS]
    ordered = sorted(fullest, key=lambda item: (item[0][0].uid, item[0][1]))
    return ListenWindows(
        start_unix_ms=[start_unix_ms] * len(ordered),
        pod_namespace=[pod.namespace for (pod, _), _ in ordered],
        pod_name=[pod.name for (pod, _), _ in ordered],
        pod_uid=[pod.uid for (pod, _), _ in ordered],
        service_port=[port for (_, port), _ in ordered],
        backlog=[row.backlog for _, row in ordered],
        backlog_limit=[row.limit for _, row in ordered],
        drops=[row.drops for _, row in ordered],
        overflows=[row.overflows for _, row in ordered],
    )


def _joined(one: Reading, other: Reading) -> Reading:
    fuller = max(one, other, key=_fullness)
    return fuller._replace(drops=_sum(one.drops, other.drops), overflows=_sum(one.overflows, other.overflows))


def _fullness(reading: Reading) -> float:
    """Return how full a queue is; one without a known limit counts as if any that waits filled it."""
    return reading.backlog / max(1, reading.limit or 1)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
