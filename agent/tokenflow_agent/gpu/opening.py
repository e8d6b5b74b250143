"""Opens NVML with the first library that fits the driver."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import NvmlError
from tokenflow_agent.gpu.library import SONAME, Libraries
from tokenflow_agent.gpu.nvml import Nvml

NO_LIBRARY: Final = "NVMLLibraryNotFound"
NO_DRIVER: Final = "NVMLDriverNotLoaded"
_OTHER_VERSION: Final = "NVMLLibRmVersionMismatch"
_LOADED: Final = "driver/nvidia/version"


def opened(libraries: Libraries, names: Iterable[str], *, proc: Path) -> Nvml:
    """Return NVML, initialised; ``nvmlShutdown`` is the caller's.

    Args:
        libraries: those loaded so far.
        names: what the linker may find a library by, the most likely first.
        proc: the host's /proc.

    Raises:
        ProbeError: no library, or none that fits a loaded driver.
    """
    refusal = NvmlError(NO_LIBRARY, f"{SONAME} was found neither in the agent's container nor on the node")
    for name in names:
        try:
            nvml = Nvml(libraries.load(name))
        except OSError:
            # Not there, or made for another machine. Where all are so, the refusal says it.
            continue
        try:
            nvml.ask("nvmlInit")
        except NvmlError as error:
            refusal = error
            if error.reason != _OTHER_VERSION:
                break
            # Left from before the driver was changed: the new one brought its own.
            words = f"{error.message}: restart the agent's pod, so that it gets the new driver's library"
            refusal = NvmlError(error.reason, words)
        else:
            return nvml
    if refusal.reason == NO_DRIVER and (proc / _LOADED).exists():
        raise NvmlError(
            "NVMLNoDevice",
            "the NVIDIA driver is loaded, but its devices /dev/nvidia* are not in the agent's container: make the"
            " NVIDIA runtime the node's default one, or set spec.security: Privileged",
        ) from refusal
    raise refusal
