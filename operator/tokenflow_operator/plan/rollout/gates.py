"""The canary's gates: what an agent of the new revision must show before it goes further."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tokenflow_api.cluster import NodeReport
from tokenflow_api.telemetry import SignalState
from tokenflow_api.telemetry_agent import Rollout
from tokenflow_operator.plan.rollout.failures import failure, too_many_restarts
from tokenflow_operator.plan.rollout.sites import SETTLED_S, Site

_MIN_EVENTS: Final = 100
"""Events in a window below which their loss says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the hint services know of an agent's nodes.

    Attributes:
        reports: the newest of each node; ``None`` where nobody can tell: no policy names the agent, or none answers.
        read_well: signals that every node of the old revision which knows them reads well.
    """

    reports: Mapping[str, NodeReport] | None
    read_well: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the gates say of one canary; nothing in either means that they are all open.

    Attributes:
        failed: why the revision has failed here.
        awaits: what is still missing.
    """

    failed: str = ""
    awaits: str = ""


def evidence(reports: Collection[NodeReport] | None, sites: Collection[Site], wanted: str) -> Evidence:
    """Return the evidence for judging the ``wanted`` revision."""
    if reports is None:
        return Evidence(reports=None, read_well=frozenset())
    old = {site.node for site in sites if site.revision != wanted}
    states: dict[str, set[SignalState]] = {}
    for report in reports:
        for signal in report.signals if report.node in old else ():
            states.setdefault(signal.name, set()).add(signal.state)
    well = frozenset(
        name for name, seen in states.items() if SignalState.ACTIVE in seen and SignalState.DEGRADED not in seen
    )
    return Evidence(reports={report.node: report for report in reports}, read_well=well)


def verdict(site: Site, known: Evidence, spec: Rollout, *, wanted: str, now: datetime) -> Verdict:
    """Judge the agent of a canary's node."""
    if site.revision != wanted:
        return Verdict(awaits=f"{site.node} to get it")
    failed = too_many_restarts(site, spec) or failure(site, spec, now)
    if failed:
        return Verdict(failed=failed)
    if not site.is_settled(now):
        return Verdict(awaits=f"{site.node} to be ready for {SETTLED_S} s")
    if known.reports is None:
        return Verdict()
    report = known.reports.get(site.node)
    if report is None or report.at_unix_ms < _started_unix_ms(site):
        return Verdict(awaits=f"telemetry from {site.node}")
    return Verdict(failed=_too_costly(report, spec) or _blind(report, known))


def _started_unix_ms(site: Site) -> float:
    started = site.container.get("state", {}).get("running", {}).get("startedAt")
    return datetime.fromisoformat(started).timestamp() * 1000 if started else 0.0


def _too_costly(report: NodeReport, spec: Rollout) -> str:
    cost, canary = report.cost, spec.canary
    lost = 100 * cost.lost / cost.events if cost.events >= _MIN_EVENTS else 0.0
    if lost > canary.max_lost_percent:
        return (
            f"{report.node}: {lost:.0f} % of events lost, above rollout.canary.maxLostPercent"
            f" ({canary.max_lost_percent})"
        )
    used = 100 * (cost.cpu_us + cost.bpf_us) / (1000 * report.window_ms)
    if used > canary.max_cpu_percent:
        return f"{report.node}: {used:.0f} % of a core, above rollout.canary.maxCPUPercent ({canary.max_cpu_percent})"
    return ""


def _blind(report: NodeReport, known: Evidence) -> str:
    lost = [s for s in report.signals if s.state is SignalState.DEGRADED and s.name in known.read_well]
    if not lost:
        return ""
    named = "; ".join(f"{signal.name}: {signal.message or signal.reason}" for signal in lost)
    return f"{report.node}: no longer reads well what other nodes do: {named}"
