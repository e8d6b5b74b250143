"""The operator with as much to look after as a large cluster has."""

import asyncio
import dataclasses
import functools
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.operator.api import Api, Manifest, connected
from e2e.bench.operator.golden import remaining
from e2e.bench.operator.looking import Mirror, mirror
from e2e.bench.operator.plane import OPERATOR
from e2e.bench.operator.population import Population
from e2e.bench.operator.site import Site, site
from e2e.bench.operator.subject import INSTALLATION, Subject, at_work, operator
from e2e.bench.proc import memory_bytes, processor_s
from e2e.cluster import audit
from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_operator.command_line import parser
from tokenflow_operator.kube.kinds import CONFIG_MAP, PACING_POLICY, TELEMETRY_AGENT
from tokenflow_operator.plan import names

MAX_START_S: Final = 60.0
MAX_PASS_S: Final = 1.0
MAX_CHANGE_S: Final = 1.0
MAX_RESIDENT_MB: Final = 150
MAX_REST_PERCENT: Final = 1.0
_READY_S: Final = 540.0
_QUIET_S: Final = 15.0
_APPLIED_S: Final = 30.0
_LEASES: Final = "leases"
_RESYNC_S: Final = 60.0
_DEFAULT_RESYNC_S: Final[float] = parser({}).parse_args([]).resync
_LOOKS: Final = "tokenflow_operator_reconciles_total"
_PASSES: Final = "tokenflow_operator_reconcile_seconds_bucket"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Whether a resource's status is of its generation, and whether it says that all is well."""

    judged: bool
    ready: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """An operator with a population.

    Attributes:
        api: the API server, as the one who asks for things.
        resources: how the policies and the agents stand, by watches.
        configs: the generation of each policy's runtime config, likewise.
    """

    place: Site
    api: Api
    subject: Subject
    population: Population
    resources: Sequence[Mirror[Standing]]
    configs: Mirror[int]

    def requests(self, since: datetime) -> list[audit.Request]:
        """Return what the operator has asked for, by the API server's own log."""
        return list(audit.requests(self.place.plane.layout.audit_log, user=OPERATOR, since=since))


async def scale(population: Population, *, changes: int, rest_s: float) -> AsyncIterator[Figure]:
    """Measure the operator with a population, from its first start to a day at rest."""
    with site() as place:
        await asyncio.to_thread(place.add_nodes, population.nodes, pools=population.teams)
        place.add_namespaces(*population.namespaces)
        place.know(population.policy_names())
        subject = operator(place.directory, kubeconfig=place.plane.operator_kubeconfig, hosts=place.hosts)
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(connected(place.plane.layout.kubeconfig))
            await api.create_all(TELEMETRY_AGENT, population.agents())
            await api.create_all(PACING_POLICY, population.pacing_policies())
            running = Running(
                place=place,
                api=api,
                subject=subject,
                population=population,
                resources=[
                    await stack.enter_async_context(mirror(api, kind, keep=_standing))
                    for kind in (TELEMETRY_AGENT, PACING_POLICY)
                ],
                configs=await stack.enter_async_context(
                    mirror(api, CONFIG_MAP, keep=_config_generation, labels="app.kubernetes.io/component=runtime")
                ),
            )
            with at_work(subject):
                async for figure in _first_start(running):
                    yield figure
                async for figure in _changes(running, count=changes):
                    yield figure
                async for figure in _rest(running, seconds=rest_s):
                    yield figure
                yield _passes(running)
                yield _memory(running)
            again = operator(
                place.directory,
                kubeconfig=place.plane.operator_kubeconfig,
                hosts=place.hosts,
                flags=(f"--resync={_RESYNC_S:.0f}s",),
            )
            with at_work(again):
                running = dataclasses.replace(running, subject=again)
                async for figure in _next_start(running):
                    yield figure
                yield await _resync(running)


async def _first_start(running: Running) -> AsyncIterator[Figure]:
    started, at = time.monotonic(), datetime.now(UTC)
    await _all(running, lambda one: one.judged, what="every resource is judged at its generation")
    took_s = time.monotonic() - started
    writes = sum(request.writes for request in running.requests(at))
    yield Figure(
        name="Cold start: from the start of the operator to all applied for the first time",
        value=f"{took_s:.1f} s",
        goal=f"< {MAX_START_S:.0f} s",
        met=took_s < MAX_START_S,
        how=f"{running.population.words}, none of it looked after before; {writes:,} writes",
    )
    await _all(running, lambda one: one.ready, what="every resource is ready")
    ready_s = time.monotonic() - started
    await _quiet(running)
    left = [one for name in running.population.namespaces for one in await _left(running, name)]
    yield Figure(
        name="Time until all report Ready",
        value=f"{ready_s:.1f} s",
        how="most of it is Kubernetes' own: it creates and schedules all their pods on the same machine",
    )
    yield Figure(
        name="Objects that are not as planned, once all is quiet",
        value=str(len(left)),
        goal="0",
        met=not left,
        how=f"every object of every namespace compared with a pure plan{''.join(f'; {one}' for one in left[:3])}",
    )


async def _left(running: Running, namespace: str) -> list[str]:
    return await remaining(running.api, namespace=namespace, installation=INSTALLATION)


async def _changes(running: Running, *, count: int) -> AsyncIterator[Figure]:
    times, at = [], datetime.now(UTC)
    targets = itertools.islice(itertools.cycle(running.population.policy_names()), count)
    for number, target in enumerate(targets):
        times.append(await _change(running, target, rtt_percent=200 + number))
    await _quiet(running)
    requests = running.requests(at)
    by_verb = Counter(request.verb for request in requests if not request.resource.startswith(_LEASES))
    total = by_verb.total() / count
    each = ", ".join(f"{verb} {number / count:.1f}" for verb, number in by_verb.most_common())
    p99_s = _quantile(times, 0.99)
    yield Figure(
        name="From a change of a policy to its new runtime config",
        value=f"p50 {_quantile(times, 0.5):.3f}, p99 {p99_s:.3f}, longest {max(times):.3f} s",
        goal=f"p99 < {MAX_CHANGE_S:.0f} s",
        met=p99_s < MAX_CHANGE_S,
        how=f"{count} changes, one after the other, from the patch to a watch's event of the ConfigMap",
    )
    yield Figure(
        name="API requests for each of these changes",
        value=f"{total:.1f}",
        how=f"by the API server's audit log, until all is quiet again: {each}",
    )
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for target in running.population.policy_names():
            group.create_task(_change(running, target, rtt_percent=500))
    yield Figure(
        name="All policies changed at once",
        value=f"{time.monotonic() - started:.1f} s",
        how="until the last new runtime config is there",
    )
    await _quiet(running)


async def _change(running: Running, target: tuple[str, str], *, rtt_percent: int) -> float:
    """Change a policy, and return the seconds until its ConfigMap says so."""
    namespace, name = target
    started = time.monotonic()
    change = {"spec": {"thresholds": {"rttInflationPercent": rtt_percent}}}
    changed = await running.api.patch(PACING_POLICY, namespace=namespace, name=name, change=change)
    wanted = changed["metadata"]["generation"]
    await running.configs.until(
        lambda: running.configs.objects.get((namespace, names.runtime(name))) == wanted,
        within_s=_APPLIED_S,
        what=f"generation {wanted} of {namespace}/{name} is applied",
    )
    return time.monotonic() - started


async def _rest(running: Running, *, seconds: float) -> AsyncIterator[Figure]:
    # After a change hint services are asked more often for a while.
    await asyncio.sleep(2 * seconds)
    pid, at = running.subject.program.pid, datetime.now(UTC)
    before = processor_s(pid)
    await asyncio.sleep(seconds)
    percent = 100 * (processor_s(pid) - before) / seconds
    requests = running.requests(at)
    leases = [request for request in requests if request.resource.startswith(_LEASES)]
    writes = Counter(f"{one.verb} {one.resource}" for one in requests if one.writes and one not in leases)
    yield Figure(
        name="Processor time at rest",
        value=f"{percent:.2f} % of a core",
        goal=f"< {MAX_REST_PERCENT:.0f} %",
        met=percent < MAX_REST_PERCENT,
        how=f"over {seconds:.0f} s, {2 * seconds:.0f} s after the last change;"
        f" {len(requests) - len(leases)} API requests besides those for its Lease",
    )
    yield Figure(
        name="Writes at rest",
        value=str(writes.total()),
        goal="0",
        met=not writes,
        how=f"by the API server's audit log over {seconds:.0f} s, besides renewals of its own Lease"
        + "".join(f"; {count} {what}" for what, count in writes.most_common(3)),
    )


async def _next_start(running: Running) -> AsyncIterator[Figure]:
    started, at = time.monotonic(), datetime.now(UTC)
    subject, wanted = running.subject, running.population.resources
    await asyncio.to_thread(subject.wait_ready)
    while subject.total(_LOOKS) < wanted:
        if time.monotonic() - started > _READY_S:
            raise BenchError(f"not every resource was looked at: read {subject.program.log}")
        await asyncio.sleep(0.1)
    took_s = time.monotonic() - started
    await _quiet(running)
    writes = [one for one in running.requests(at) if one.writes and not one.resource.startswith(_LEASES)]
    yield Figure(
        name="Start where all is as planned: until each resource was looked at",
        value=f"{took_s:.1f} s, {len(writes)} writes",
        goal=f"< {MAX_START_S:.0f} s, 0 writes",
        met=took_s < MAX_START_S and not writes,
        how="after the operator was ended, which gave its Lease back",
    )


async def _resync(running: Running) -> Figure:
    """Measure an operator at rest that lists and looks at all again each minute."""
    subject, pid = running.subject, running.subject.program.pid
    looked_at, before = subject.total(_LOOKS), processor_s(pid)
    await asyncio.sleep(2 * _RESYNC_S)
    taken_s, rounds = processor_s(pid) - before, (subject.total(_LOOKS) - looked_at) / running.population.resources
    if not rounds:
        raise BenchError(f"nothing was looked at again: read {subject.program.log}")
    each_s = taken_s / rounds
    percent, minutes = 100 * each_s / _DEFAULT_RESYNC_S, _DEFAULT_RESYNC_S / 60
    return Figure(
        name="Processor time of a resync: everything listed and each resource looked at again",
        value=f"at most {each_s:.2f} s; one every {minutes:.0f} minutes: {percent:.2f} % of a core",
        how=f"{rounds:.1f} of them in {2 * _RESYNC_S:.0f} s, with all else that the operator does at rest in that time",
    )


def _passes(running: Running) -> Figure:
    buckets: Counter[float] = Counter()
    for labels, value in running.subject.samples(_PASSES):
        buckets[float(labels["le"])] += int(value)
    passes = buckets[float("inf")]
    bound_s = min(bound for bound, count in buckets.items() if count >= 0.99 * passes)
    return Figure(
        name="Duration of a reconcile pass",
        value=f"p99 <= {bound_s:g} s",
        goal=f"p99 < {MAX_PASS_S:.0f} s",
        met=bound_s <= MAX_PASS_S,
        how=f"by the operator's own histogram, {passes:,} passes since its start, those of the cold start among them",
    )


def _memory(running: Running) -> Figure:
    pid = running.subject.program.pid
    now, most = (memory_bytes(pid, field) / 1e6 for field in ("VmRSS", "VmHWM"))
    return Figure(
        name="Resident memory",
        value=f"{now:.0f} MB, at most {most:.0f} MB",
        goal=f"< {MAX_RESIDENT_MB} MB",
        met=most < MAX_RESIDENT_MB,
        how="VmRSS and VmHWM after all of the above",
    )


async def _all(running: Running, so: Callable[[Standing], bool], *, what: str) -> None:
    for kind in running.resources:
        await kind.until(functools.partial(_holds, kind, so), within_s=_READY_S, what=what)


def _holds(kind: Mirror[Standing], so: Callable[[Standing], bool]) -> bool:
    return all(map(so, kind.objects.values()))


async def _quiet(running: Running) -> None:
    """Wait until the operator has written nothing for a while.

    Raises:
        BenchError: it goes on.
    """
    deadline = time.monotonic() + _READY_S
    writes, since = -1.0, time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        if (now := _writes(running.subject)) != writes:
            writes, since = now, time.monotonic()
        if time.monotonic() > deadline:
            raise BenchError(f"the operator does not come to rest: read {running.subject.program.log}")
        await asyncio.sleep(1.0)


def _writes(subject: Subject) -> float:
    """Return how often the operator has written, renewals of its Lease left out."""
    return sum(
        value for labels, value in subject.samples("tokenflow_operator_writes_total") if labels["kind"] != "Lease"
    )


def _standing(resource: Manifest) -> Standing:
    status = resource.get("status", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return Standing(
        judged=status.get("observedGeneration") == resource["metadata"]["generation"],
        ready=conditions.get("Ready") == "True",
    )


def _config_generation(config_map: Manifest) -> int:
    generation: int = json.loads(config_map["data"][RUNTIME_KEY])["generation"]
    return generation


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
