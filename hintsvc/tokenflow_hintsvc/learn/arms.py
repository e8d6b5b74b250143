"""Which tenants a model may act for: the same ones on every replica, others with every version."""

from enum import StrEnum
from hashlib import sha256

from tokenflow_api.modes import ModelMode
from tokenflow_api.pacing_policy import Model


class Arm(StrEnum):
    """Side of the comparison that a tenant is on."""

    MODEL = "model"
    CONTROL = "control"


def arm(tenant: str, spec: Model, *, version: str) -> Arm:
    """Return whether the model acts for a tenant.

    With Canary, the tenants whose hash falls into the lowest ``canaryPercent`` are chosen: raising it adds tenants,
    and takes none away.
    """
    if spec.mode is ModelMode.CANARY:
        return Arm.MODEL if _share(tenant, version) * 100 < spec.canary_percent else Arm.CONTROL
    return Arm.MODEL if spec.mode is ModelMode.ACTIVE else Arm.CONTROL


def _share(tenant: str, version: str) -> float:
    """Return a number from 0 up to 1 that tenant and version determine."""
    return int.from_bytes(sha256(f"{version}/{tenant}".encode()).digest()[:8], "big") / 2**64
