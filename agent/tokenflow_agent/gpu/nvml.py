"""Calls of NVML, with their errors told apart: does one take away a value, a GPU, or all of them?"""

import logging
from typing import Any, Final

from tokenflow_agent.errors import GpuError, GpuValueError, NvmlError, ProbeError

_log = logging.getLogger(__name__)

_ALL: Final = frozenset({"Uninitialized", "DriverNotLoaded", "LibraryNotFound", "LibRmVersionMismatch"})
_GPU: Final = {"GpuIsLost": "GPULost", "GpuNotFound": "GPULost", "ResetRequired": "GPUResetRequired"}
_NORMAL: Final = frozenset({"NVMLNotSupported", "NVMLFunctionNotFound", "NVMLNotFound"})
"""Reasons why a healthy device, or an older driver, has no value."""


class Nvml:
    """NVML, as far as it can be called.

    Args:
        api: pynvml, with its library.

    Attributes:
        api: for its constants and structures.
    """

    def __init__(self, api: Any) -> None:
        self.api = api
        self._unread: dict[str, GpuValueError] = {}

    def ask(self, call: str, *arguments: object) -> Any:
        """Return what ``call`` gives.

        Raises:
            NvmlError: the driver or its library is gone.
            GpuError: the GPU is gone.
            GpuValueError: this value cannot be had.
        """
        try:
            return getattr(self.api, call)(*arguments)
        except self.api.NVMLError as error:
            name = type(error).__name__.removeprefix("NVMLError_")
            words = f"{call}: {error}"
            if name in _ALL:
                raise NvmlError(f"NVML{name}", words) from error
            if name in _GPU:
                raise GpuError(_GPU[name], words) from error
            raise GpuValueError(f"NVML{name}", words) from error

    def value(self, call: str, *arguments: object) -> Any | None:
        """Return what ``call`` gives, ``None`` where this one value cannot be had.

        Raises:
            NvmlError: the driver or its library is gone.
            GpuError: the GPU is gone.
        """
        try:
            return self.ask(call, *arguments)
        except GpuValueError as error:
            self.note(error)
            return None

    def note(self, error: GpuValueError) -> None:
        """Remember why a value is missing, unless that is normal."""
        if error.reason not in _NORMAL:
            self._unread[error.message] = error

    def release(self, call: str, *arguments: object) -> None:
        """Let go of something, which may have gone with the driver."""
        try:
            self.ask(call, *arguments)
        except ProbeError as error:
            _log.debug("nothing to let go of", extra={"reason": error.reason, "detail": error.message})

    def take_unread(self) -> list[GpuValueError]:
        """Return why values were missing since the last time, each cause once."""
        unread, self._unread = list(self._unread.values()), {}
        return unread
