"""``kubectl tokenflow simulate``: what would change, before anything does.

The operator's own observation and plan run over the cluster as it is, with the given resources in the place of the
stored ones. What they come to is tried at the API server in dry run, so that its defaults, rules and webhooks speak.
"""

import asyncio
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tokenflow_api.meta import API_VERSION
from tokenflow_operator.cli.difference import differences
from tokenflow_operator.cli.gathering import Gathered, gather
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.simulation import Action, ObjectChange, Simulation, applied, deleted
from tokenflow_operator.cli.started import Started, started_for
from tokenflow_operator.concern import concerned
from tokenflow_operator.errors import InvalidError
from tokenflow_operator.keys import Key, key_of
from tokenflow_operator.kube import FIELD_MANAGER, Manifest, ObjectRef
from tokenflow_operator.kube.kinds import OWNERS
from tokenflow_operator.kube.objects import ref_of
from tokenflow_operator.observe import Observer
from tokenflow_operator.plan import Plan, plan
from tokenflow_operator.polls import Target
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import HintServiceState, with_children

_NEWEST: Final = str(2**62)
"""A version beyond all that are stored."""
_DRY: Final = ("--dry-run=server",)
_AS_OPERATOR: Final = ("--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}")


class _Unasked:
    """Hint services that nobody asks: what they say moves the status alone."""

    def state(self, target: Target) -> HintServiceState:  # noqa: ARG002 - the observer's signature
        return HintServiceState(pending=True)

    def forget(self, policy: Key) -> None:
        """There is nothing to forget."""


def simulate(kubectl: Kubectl, files: Sequence[str], *, stdin: str, now: datetime) -> list[Simulation]:
    """Return what would change if the resources of some files were applied.

    Args:
        kubectl: the caller's.
        files: with PacingPolicies and TelemetryAgents; ``-`` is the standard input.
        stdin: what the standard input holds.
        now: time of day.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: the API server would not take the resources, or the cluster could not be read.
    """
    supposed = _supposed(kubectl, files, stdin=stdin)
    simulations = list[Simulation]()
    for namespace in sorted({manifest["metadata"]["namespace"] for manifest in supposed}):
        started = started_for(kubectl, namespace)
        there = dataclasses.replace(kubectl, namespace=namespace)
        own = [manifest for manifest in supposed if manifest["metadata"]["namespace"] == namespace]
        simulations.extend(_within(there, own, started, now=now))
    return simulations


def _supposed(kubectl: Kubectl, files: Sequence[str], *, stdin: str) -> list[Manifest]:
    """Return the resources as the API server would store them."""
    named = [f"--filename={file}" for file in files]
    answer = kubectl.json("apply", *_DRY, *named, stdin=stdin)
    kinds = [kind.kind for kind in OWNERS]
    found = [
        manifest
        for manifest in answer.get("items", [answer])
        if manifest["apiVersion"] == API_VERSION and manifest["kind"] in kinds
    ]
    if not found:
        raise InvalidError(f"{', '.join(files)}: there is no PacingPolicy and no TelemetryAgent in it")
    return found


def _within(kubectl: Kubectl, supposed: Sequence[Manifest], started: Started, *, now: datetime) -> Iterator[Simulation]:
    """Yield what would change in one namespace: the resources first, then their neighbours that would change too."""
    gathered = gather(kubectl, everywhere=not started.namespace)
    cache = gathered.cache
    changes = {key_of(manifest): cache.put(key_of(manifest).served_as, _newest(manifest)) for manifest in supposed}
    changed = [change for change in changes.values() if change is not None]
    near = set().union(*(concerned(change, cache) for change in changed)) - changes.keys()
    rehearsal = _Rehearsal(kubectl=kubectl, gathered=gathered, installation=started.installation, now=now)
    for key, change in changes.items():
        objects, words = rehearsal.play(key)
        before, after = (change.before, change.after) if change else (None, None)
        fields = differences(before, after) if before and after else []
        exists = change is None or before is not None
        yield Simulation(key=key, fields=tuple(fields), exists=exists, objects=objects, words=words)
    for key in sorted(key for key in near if key.namespace == kubectl.namespace):
        objects, words = rehearsal.play(key)
        if objects:
            yield Simulation(key=key, fields=(), exists=True, objects=objects, words=words)


def _newest(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _NEWEST}}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rehearsal:
    """Passes of the operator that change nothing."""

    kubectl: Kubectl
    gathered: Gathered
    installation: Installation
    now: datetime

    def play(self, key: Key) -> tuple[tuple[ObjectChange, ...], str]:
        """Return what would become of a resource's objects, and what the API server says of those it would not take."""
        cache, nodes = self.gathered.cache, self.gathered.nodes
        observer = Observer(cache=cache, polls=_Unasked(), kube=self.gathered, nodes=nodes)
        snapshot = observer.observe(key)
        if snapshot is None:
            return (), ""
        planned = plan(snapshot, self.installation, now=self.now)
        strangers = asyncio.run(observer.strangers(key, planned))
        if strangers:
            planned = plan(with_children(snapshot, strangers), self.installation, now=self.now)
        after, words = _tried(self.kubectl, planned)
        present = self.gathered.objects
        wanted = [ref_of(manifest) for manifest in planned.apply]
        changed = (applied(ref, before=present.get(ref), after=after.get(ref)) for ref in wanted)
        taken = (ObjectChange(ref=ref, action=Action.TAKEN) for ref in strangers if ref not in wanted)
        return (*changed, *map(deleted, planned.delete), *taken), words if len(after) < len(wanted) else ""


def _tried(kubectl: Kubectl, planned: Plan) -> tuple[Mapping[ObjectRef, Manifest], str]:
    """Return what the API server would make of the objects that a plan applies, and what it says."""
    if not planned.apply:
        return {}, ""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": planned.apply})
    made, words = kubectl.tried("apply", *_AS_OPERATOR, *_DRY, "--filename=-", stdin=listed)
    return {ref_of(manifest): manifest for manifest in made}, words
