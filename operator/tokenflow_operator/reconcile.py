"""One pass over one resource: observe, plan, execute, say so."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tokenflow_api.meta import API_VERSION
from tokenflow_operator.errors import NotFoundError
from tokenflow_operator.execute import Executor
from tokenflow_operator.feed import Feed
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.notify.dispatcher import Dispatcher
from tokenflow_operator.observe import Observer
from tokenflow_operator.plan import Plan, plan
from tokenflow_operator.recorder import Recorder
from tokenflow_operator.settings import Installation
from tokenflow_operator.snapshot import AgentSnapshot, InvalidSnapshot, PolicySnapshot, Refusal, Snapshot, with_children
from tokenflow_operator.wall_clock import utc_now


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a pass.

    Attributes:
        again_s: seconds until the next one, unless something changes before; nothing if that suffices.
        wrote: whether it changed, or tried to change, anything in the cluster.
    """

    again_s: float | None
    wrote: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Done:
    """What a pass did to a resource's objects, and what is left to say.

    Attributes:
        uid: of the resource.
        planned: after what the API refused.
        wrote: whether it changed, or tried to change, an object.
    """

    uid: str
    planned: Plan
    wrote: bool


class Reconciler:
    """Brings resources to what they ask for."""

    def __init__(
        self,
        *,
        kube: Kube,
        feed: Feed,
        observer: Observer,
        executor: Executor,
        recorder: Recorder,
        dispatcher: Dispatcher,
        installation: Installation,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._kube = kube
        self._feed = feed
        self._observer = observer
        self._executor = executor
        self._recorder = recorder
        self._dispatcher = dispatcher
        self._installation = installation
        self._now = now

    async def reconcile(self, key: Key) -> Outcome:
        """Make one pass.

        Raises:
            KubeError: the cluster could not be read or changed.
        """
        done = await self._bring_about(key)
        if done is None or not await self._say(key, done):
            self._dispatcher.forget(key)
            return Outcome(again_s=None, wrote=False)
        planned = done.planned
        for note in planned.notes:
            await self._recorder.record(key, done.uid, note)
        for delivery in planned.deliveries:
            self._dispatcher.take(delivery)
        return Outcome(again_s=planned.requeue_after_s, wrote=done.wrote or planned.status is not None)

    async def _bring_about(self, key: Key) -> _Done | None:
        """Change what is not as planned, and return what there is to say; nothing where the resource is gone.

        The snapshot ends with it: for an agent on many nodes it takes megabytes, which are not to wait for a status.

        Raises:
            KubeError: the cluster could not be read or changed.
        """
        snapshot = self._observer.observe(key)
        if snapshot is None:
            return None
        uid = _uid(snapshot)
        if isinstance(snapshot, PolicySnapshot):
            snapshot = dataclasses.replace(snapshot, notifiers=self._dispatcher.states(key))
        planned = self._plan(snapshot)
        if self._observer.missing(key, planned) and not await self._exists(key, uid):
            self._gone(key, uid)
            return None
        strangers = await self._observer.strangers(key, planned)
        if strangers:
            snapshot = with_children(snapshot, strangers)
            planned = self._plan(snapshot)
        refusals = await self._executor.execute(key, planned)
        wrote = bool(planned.apply or planned.delete)
        if refusals:
            planned = self._plan(_refused(snapshot, refusals))
        return _Done(uid=uid, planned=planned, wrote=wrote)

    async def _say(self, key: Key, done: _Done) -> bool:
        """Write the status if there is a new one, and return whether the resource is still there."""
        if done.planned.status is None:
            return True
        status = _status(key, done.planned.status)
        try:
            written = await self._kube.apply(key.served_as, status, subresource="status", force=True)
        except NotFoundError:
            self._gone(key, done.uid)
            return False
        self._feed.put(key.served_as, written)
        return True

    async def _exists(self, key: Key, uid: str) -> bool:
        """Ask whether a resource is still there before anything is made for it.

        Kubernetes deletes the children of a resource that is gone. Without its own end having been told, they would
        be made and deleted in turn until the next listing.
        """
        try:
            manifest = await self._kube.get(key.served_as, namespace=key.namespace, name=key.name)
        except NotFoundError:
            return False
        return bool(manifest["metadata"]["uid"] == uid)

    def _gone(self, key: Key, uid: str) -> None:
        gone = {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid}}
        self._feed.drop(key.served_as, gone)

    def _plan(self, snapshot: Snapshot) -> Plan:
        return plan(snapshot, self._installation, now=self._now())


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
