"""Takes in what was seen of late: health of paths, nodes and GPUs, the state of bottlenecks, the pressure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from tokenflow_hintsvc.decide.admission import pressed, saturation
from tokenflow_hintsvc.decide.bottlenecks import bottlenecks
from tokenflow_hintsvc.decide.control import Control, step
from tokenflow_hintsvc.decide.health import judge, unseen
from tokenflow_hintsvc.decide.join import Seen
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.memory import KEPT_MS, KEPT_PATHS, READ_MS, Memory, NodeMemory, PathMemory
from tokenflow_hintsvc.decide.samples import GATEWAY, Bottleneck, NodeSample, PathKey, PathSample, is_new
from tokenflow_hintsvc.decide.terms import gpu_readings, node_readings, path_readings

PEAK_KEPT: Final = 0.9
"""Share that a window leaves of a peak: events of several tokens make single windows uneven."""


def follow(memory: Memory, seen: Seen, *, limits: Limits, priorities: int, now_ms: int) -> Memory:
    """Take in the newest window of each path and node; one that was taken in before changes nothing.

    Args:
        memory: of the rounds before.
        seen: what was seen of late.
        limits: the policy's.
        priorities: number of different priorities of its tenants.
        now_ms: Unix milliseconds, by the leader's clock.
    """
    controls = _controls(memory, seen.paths, limits=limits)
    paths = {sample.key: _path(memory.paths.get(sample.key), sample, controls, limits, now_ms) for sample in seen.paths}
    nodes = {sample.key: _node(memory.nodes.get(sample.key), sample, limits, now_ms) for sample in seen.nodes}
    kept = _kept(memory.paths, paths, now_ms=now_ms)
    shared = {key.bottleneck for key in kept}
    gpus = tuple(chain.from_iterable(node.readings for node in nodes.values()))
    return Memory(
        paths=kept,
        bottlenecks={
            bottleneck: control
            for bottleneck, control in (memory.bottlenecks | controls).items()
            if bottleneck in shared
        },
        nodes={key: _silent(node) for key, node in memory.nodes.items() if node.seen_ms > now_ms - KEPT_MS} | nodes,
        pressure=pressed(memory.pressure, saturation=saturation(gpus, limits), priorities=priorities, now_ms=now_ms),
    )


def _kept(
    before: Mapping[PathKey, PathMemory], paths: Mapping[PathKey, PathMemory], *, now_ms: int
) -> dict[PathKey, PathMemory]:
    """Return the paths of this round, and of those before as many as there is room for, the last seen first."""
    recent = [entry for entry in before.items() if entry[0] not in paths and entry[1].seen_ms > now_ms - KEPT_MS]
    last_first = sorted(recent, key=lambda entry: -entry[1].seen_ms)
    return {**paths, **dict(last_first[: max(0, KEPT_PATHS - len(paths))])}


def _controls(memory: Memory, paths: Sequence[PathSample], *, limits: Limits) -> dict[Bottleneck, Control]:
    return {
        bottleneck: step(memory.bottlenecks.get(bottleneck, Control()), sample, limits)
        for bottleneck, sample in bottlenecks(paths).items()
    }


def _path(
    before: PathMemory | None,
    sample: PathSample,
    controls: Mapping[Bottleneck, Control],
    limits: Limits,
    now_ms: int,
) -> PathMemory:
    known = before or PathMemory(seen_ms=now_ms)
    health = known.health
    fresh = is_new(sample.at_ms, last_ms=known.sampled_ms)
    if fresh:
        baseline_us = controls[sample.key.bottleneck].baseline.least_us
        health = judge(health, path_readings(sample, baseline_us=baseline_us, limits=limits))
    return PathMemory(
        # What agents alone see may be anybody's: it does not keep a path for ever.
        seen_ms=known.seen_ms if GATEWAY in sample.missing else now_ms,
        told_ms=known.told_ms,
        rate=known.rate,
        streams=sample.active_streams or known.streams,
        peak=_peak(known.peak, sample) if fresh else known.peak,
        health=health,
        sockets=sample.sockets,
        sampled_ms=sample.at_ms if fresh else known.sampled_ms,
    )


def _peak(before: float, sample: PathSample) -> float:
    return max(PEAK_KEPT * before, sample.delivered_tokens_per_second or 0.0)


def _node(before: NodeMemory | None, sample: NodeSample, limits: Limits, now_ms: int) -> NodeMemory:
    known = before or NodeMemory(seen_ms=now_ms)
    if not is_new(sample.at_ms, last_ms=known.sampled_ms):
        return replace(known, seen_ms=now_ms)
    now = replace(
        known,
        seen_ms=now_ms,
        sampled_ms=sample.at_ms,
        network=judge(known.network, node_readings(sample, limits=limits)),
    )
    if sample.gpus:
        gpus = judge(known.gpus, gpu_readings(sample.gpus, limits=limits))
        return replace(now, gpus=gpus, readings=sample.gpus, read_ms=now_ms)
    # Most windows pass between two readings, and say nothing of the GPUs.
    return now if abs(now_ms - known.read_ms) < READ_MS else replace(now, gpus=unseen(known.gpus), readings=())


def _silent(node: NodeMemory) -> NodeMemory:
    return replace(node, network=unseen(node.network), gpus=unseen(node.gpus))
