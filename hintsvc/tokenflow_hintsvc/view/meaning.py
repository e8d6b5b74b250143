"""What a state of the cluster means: whoever polls it is told again only when that changes."""

import hashlib
from collections.abc import Iterator
from typing import Final

from tokenflow_api.cluster import ClusterView, NodeReport
from tokenflow_api.hints import Hint, Snapshot, Term
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import RuntimeConfig

_LEAST_SILENCE_MS: Final = 10_000
_MISSED_WINDOWS: Final = 3


def entity_tag(view: ClusterView, config: RuntimeConfig) -> str:
    """Return a quoted entity tag that stays as long as nothing changes that somebody would act upon.

    Stamps and versions move with each round, and measurements tremble: of these it takes whether a node is silent,
    whole percents and tokens, and tenths of a threshold.
    """
    meaning = repr(tuple(_meaning(view, stale_ms=1000 * seconds(config.spec.telemetry.stale_after))))
    return f'"{hashlib.blake2b(meaning.encode(), digest_size=12).hexdigest()}"'


def _meaning(view: ClusterView, *, stale_ms: float) -> Iterator[object]:
    yield view.leader, view.term
    yield sorted((replica.name, replica.generation, replica.error) for replica in view.replicas)
    yield sorted((usage.tenant, usage.requests_last_minute, usage.tokens_last_minute) for usage in view.usage)
    yield view.certificate_ends_unix_ms, view.certificate_error
    yield [(key.tenant, key.ends_unix_ms) for key in view.keys], view.keyless
    snapshot = view.snapshot
    now_ms = snapshot.at_unix_ms if snapshot else 0
    yield sorted(_of_node(node, now_ms=now_ms, stale_ms=stale_ms) for node in view.nodes)
    if snapshot:
        yield from _of_snapshot(snapshot)


def _of_node(report: NodeReport, *, now_ms: int, stale_ms: float) -> tuple[object, ...]:
    silence_ms = max(_LEAST_SILENCE_MS, stale_ms, _MISSED_WINDOWS * report.window_ms)
    signals = sorted((one.name, one.backend, one.state.value, one.reason) for one in report.signals)
    cpu_percent = (report.cost.cpu_us + report.cost.bpf_us) // (10 * max(1, report.window_ms))
    lost_percent = 100 * report.cost.lost // max(1, report.cost.events)
    return (
        report.agent,
        report.node,
        now_ms - report.at_unix_ms > silence_ms,
        signals,
        cpu_percent // 10,
        lost_percent,
    )


def _of_snapshot(snapshot: Snapshot) -> Iterator[object]:
    yield snapshot.generation, round(100 * snapshot.health), snapshot.model
    yield [(node.agent, node.node, round(100 * node.health), _of_terms(node.terms)) for node in snapshot.nodes]
    yield [_of_hint(hint) for hint in (*snapshot.hints, *snapshot.shadow)]


def _of_hint(hint: Hint) -> tuple[object, ...]:
    return (
        *(hint.tenant, hint.path, hint.mode.value, hint.source.value, hint.state.value, hint.admission.value),
        *(int(hint.tokens_per_second), hint.batch_size, round(100 * hint.health), hint.signals.active_streams),
        _of_terms(hint.terms),
    )


def _of_terms(terms: list[Term]) -> list[tuple[str, float | None]]:
    return [
        (term.signal, None if term.value is None else round(term.value / (term.threshold or 1.0), 1)) for term in terms
    ]
