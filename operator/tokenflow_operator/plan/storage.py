"""The volume of an embedded Redis. Kubernetes lets a claim grow; all else about it is fixed when it is made."""

from collections.abc import Iterator

from tokenflow_api.pacing_policy import EmbeddedRedis
from tokenflow_api.quantities import amount
from tokenflow_operator.kube.kinds import PERSISTENT_VOLUME_CLAIM
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.plan.reasons import Problem, Reason, Severity


def claim(owner: Owner, name: str, component: str, spec: EmbeddedRedis, present: Manifest | None) -> Manifest:
    """Return the claim to apply: what is asked for, as far as the present one can become that."""
    size = _size(present) if present is not None and _shrinks(spec, present) else spec.storage
    manifest = owner.object(
        PERSISTENT_VOLUME_CLAIM,
        name,
        component,
        spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    )
    storage_class = spec.storage_class_name if present is None else present["spec"].get("storageClassName")
    if storage_class is not None:
        # Outside of the intent's fingerprint: the cluster's default is no change of what is asked for.
        manifest["spec"]["storageClassName"] = storage_class
    return manifest


def storage_problems(name: str, spec: EmbeddedRedis, present: Manifest | None) -> Iterator[Problem]:
    """Yield what the present claim cannot become."""
    if present is None or spec.storage is None:
        return
    field = "spec.hintService.redis.embedded"
    remedy = "or delete the claim and the pod of Redis: what it holds is lost"
    if _shrinks(spec, present):
        size = _size(present)
        message = (
            f"{field}.storage is {spec.storage}, and PersistentVolumeClaim {name} of {size} cannot shrink:"
            f" write {size}, {remedy}"
        )
        yield Problem(reason=Reason.STORAGE_FIXED, severity=Severity.DEGRADED, message=message)
    storage_class = present["spec"].get("storageClassName", "")
    if spec.storage_class_name not in (None, storage_class):
        message = (
            f"{field}.storageClassName is {spec.storage_class_name}, and PersistentVolumeClaim {name} of class"
            f" {storage_class or 'none'} cannot change it: write that one, {remedy}"
        )
        yield Problem(reason=Reason.STORAGE_FIXED, severity=Severity.DEGRADED, message=message)


def _shrinks(spec: EmbeddedRedis, present: Manifest) -> bool:
    return spec.storage is not None and amount(spec.storage) < amount(_size(present))


def _size(present: Manifest) -> str:
    size: str = present["spec"]["resources"]["requests"]["storage"]
    return size
