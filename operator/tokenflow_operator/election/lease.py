"""The Lease by which replicas agree who leads: how it is read, and what is written to it."""

from dataclasses import dataclass, field
from datetime import datetime

from tokenflow_operator.kube import Manifest
from tokenflow_operator.kube.kinds import LEASE


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A Lease as it was read.

    Its stamps are for people: a replica judges by when it saw the record change itself.

    Attributes:
        holder: identity of the replica that leads; empty where it was given back.
        version: changes with every write, whoever makes it.
        lasts_s: seconds that the holder counts on after a renewal.
        manifest: the whole object.
    """

    holder: str
    version: str
    lasts_s: float
    manifest: Manifest = field(compare=False, default_factory=dict)


def record_of(manifest: Manifest) -> Record:
    """Return what a Lease says."""
    spec = manifest.get("spec", {})
    return Record(
        holder=spec.get("holderIdentity") or "",
        version=manifest["metadata"]["resourceVersion"],
        lasts_s=float(spec.get("leaseDurationSeconds") or 0),
        manifest=manifest,
    )


def new_lease(*, namespace: str, name: str) -> Manifest:
    """Return a Lease that does not exist yet, and that nobody holds."""
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata}


def held(manifest: Manifest, *, holder: str, lasts_s: float, now: datetime) -> Manifest:
    """Return the Lease as ``holder`` writes it to take or to keep it; what others wrote beside that stays."""
    spec = manifest.get("spec", {})
    changed = {"holderIdentity": holder, "leaseDurationSeconds": round(lasts_s), "renewTime": _stamp(now)}
    if spec.get("holderIdentity") != holder:
        changed |= {"acquireTime": _stamp(now), "leaseTransitions": (spec.get("leaseTransitions") or 0) + 1}
    return {**manifest, "spec": {**spec, **changed}}


def given_back(manifest: Manifest, *, now: datetime) -> Manifest:
    """Return the Lease as its holder writes it to let another one lead at once."""
    return {**manifest, "spec": {**manifest.get("spec", {}), "holderIdentity": "", "renewTime": _stamp(now)}}


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
