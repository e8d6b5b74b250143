"""A look at all GPUs of a node, and what it lacked."""

import logging
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.errors import GpuValueError, ProbeError
from tokenflow_api.windows import GpuProcesses, GpuSamples

_log = logging.getLogger(__name__)

_REPAIR: Final = "look for Xid in dmesg; reset it with nvidia-smi --gpu-reset, or restart the node"
_ALLOW: Final = "set spec.security: Privileged"
_NOT_ALLOWED: Final = "NVMLNoPermission"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something that a reading lacks.

    Attributes:
        reason: CamelCase word for the cause.
        message: which GPU or value, why, and what to do.
    """

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """All GPUs of the node at one time.

    Attributes:
        samples: those that answered.
        processes: what pods hold of them.
        lost: GPUs that did not.
        unread: values of the others that should be there, and are not.
    """

    samples: GpuSamples
    processes: GpuProcesses
    lost: tuple[Fault, ...]
    unread: tuple[Fault, ...]


def fault(error: BaseException) -> Fault:
    """Return why a reading brought nothing; what nobody foresaw is logged."""
    if isinstance(error, ProbeError):
        return Fault(reason=error.reason, message=error.message)
    _log.error("a reading of the GPUs failed", exc_info=error)
    return Fault(reason="ReadingFailed", message=f"{type(error).__name__}: {error}")


def unanswered(index: int, uuid: str, error: ProbeError) -> Fault:
    """Return the fault of a GPU that gives errors.

    Args:
        index: its place on the node.
        uuid: as it was when it still answered; empty where it never did.
        error: what it gave.
    """
    remedy = _ALLOW if error.reason == _NOT_ALLOWED else _REPAIR
    return Fault(reason=error.reason, message=f"{_called(index, uuid)}: {error.message}: {remedy}")


def vanished(index: int, uuid: str) -> Fault:
    """Return the fault of a GPU that the driver knows no more."""
    return Fault(reason="GPULost", message=f"{_called(index, uuid)} is gone: {_REPAIR}")


def missing(error: GpuValueError) -> Fault:
    """Return the fault of a value that a GPU has and does not give."""
    words = f"{error.message}: {_ALLOW}" if error.reason == _NOT_ALLOWED else error.message
    return Fault(reason=error.reason, message=words)


def _called(index: int, uuid: str) -> str:
    return f"GPU {index} ({uuid})" if uuid else f"GPU {index}"
