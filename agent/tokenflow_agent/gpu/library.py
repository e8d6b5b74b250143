"""Where the driver's library is, and pynvml made to use it.

The library belongs to the driver, so it lies where the driver was installed: in this container, on the host, or in
the file system of a driver container. pynvml is imported only once there is one.
"""

import ctypes
import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

SONAME: Final = "libnvidia-ml.so.1"

_FOLDERS: Final = (
    "run/nvidia/driver/usr/lib/*-linux-gnu",
    "run/nvidia/driver/usr/lib64",
    "home/kubernetes/bin/nvidia/lib64",
    "usr/lib/*-linux-gnu",
    "usr/lib64",
    "usr/lib",
)
# Not SONAME: the linker takes a path that it has loaded before for the same library, also after an upgrade.
_VERSIONED: Final = "libnvidia-ml.so.*.*"


def candidates(proc: Path) -> Iterator[str]:
    """Yield what the linker may find the library by, the most likely first.

    Args:
        proc: the host's /proc; its process 1 leads to the host's files, for those who may trace it.
    """
    yield SONAME
    for root in (Path("/"), proc / "1" / "root"):
        yield from _below(root)


def _below(root: Path) -> list[str]:
    try:
        return [str(path) for folder in _FOLDERS for path in root.glob(f"{folder}/{_VERSIONED}")]
    except PermissionError as error:
        _log.debug("no library is looked for there", extra={"folder": str(root), "detail": str(error)})
        return []


class Libraries:
    """The copies of pynvml, one for each library that was loaded: it never lets go of its library."""

    def __init__(self) -> None:
        self._bound: dict[str, Any] = {}

    def load(self, name: str) -> Any:
        """Return a pynvml that calls the library ``name``.

        Raises:
            OSError: the linker cannot load it.
        """
        if name not in self._bound:
            library = ctypes.CDLL(name)
            sys.modules.pop("pynvml", None)
            self._bound[name] = importlib.import_module("pynvml")
            self._bound[name].nvmlLib = library
        return self._bound[name]
