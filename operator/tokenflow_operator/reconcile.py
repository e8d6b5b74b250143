"""One pass over one resource: observe, plan, execute, say so."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

from tokenflow_api.meta import API_VERSION
from tokenflow_operator.errors import NotFoundError
from tokenflow_operator.execute import execute
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.observe import Observer
from tokenflow_operator.plan import plan
from tokenflow_operator.recorder import Recorder
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot, InvalidSnapshot, PolicySnapshot, Refusal, Snapshot


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """Brings resources to what they ask for."""

    def __init__(
        self,
        *,
        kube: Kube,
        observer: Observer,
        recorder: Recorder,
        installation: Installation,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._kube = kube
        self._observer = observer
        self._recorder = recorder
        self._installation = installation
        self._now = now

    async def reconcile(self, key: Key) -> float | None:
        """Make one pass, and return the seconds until the next; nothing if the resource is gone.

        Raises:
            KubeError: the cluster could not be read or changed.
        """
        snapshot = await self._observer.observe(key)
        if snapshot is None:
            return None
        planned = plan(snapshot, self._installation, now=self._now())
        refusals = await execute(planned, self._kube)
        if refusals:
            snapshot = _refused(snapshot, refusals)
            planned = plan(snapshot, self._installation, now=self._now())
        if planned.status is not None:
            try:
                await self._kube.apply(key.served_as, _status(key, planned.status), subresource="status")
            except NotFoundError:
                return None
        for note in planned.notes:
            await self._recorder.record(key, _uid(snapshot), note)
        return planned.requeue_after_s


def _refused(snapshot: Snapshot, refusals: tuple[Refusal, ...]) -> Snapshot:
    """Return the snapshot with what the API would not take, so that the plan can say it."""
    if isinstance(snapshot, InvalidSnapshot):
        return snapshot
    return dataclasses.replace(snapshot, cluster=dataclasses.replace(snapshot.cluster, refusals=refusals))


def _uid(snapshot: Snapshot) -> str:
    match snapshot:
        case PolicySnapshot(policy=policy):
            return policy.uid
        case AgentSnapshot(agent=agent):
            return agent.uid
        case InvalidSnapshot(uid=uid):
            return uid


def _status(key: Key, status: Manifest) -> Manifest:
    metadata = {"name": key.name, "namespace": key.namespace}
    return {"apiVersion": API_VERSION, "kind": key.kind, "metadata": metadata, "status": status}
