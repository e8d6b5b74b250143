"""Keeps the TLS libraries of all processes watched, as processes and libraries come and go."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.l7.elf import functions
from tokenflow_agent.l7.libraries import Library, mapped

_log = logging.getLogger(__name__)

MAX_LIBRARIES: Final = 64
MAX_LOOKS: Final = 128
"""Processes looked at in one turn: new ones first, then those that were looked at longest ago."""
_AT_ONCE: Final = 32
"""Threads that detach probes."""


class TlsLibraries:
    """Watches each library once, however many processes use it, and lets go of it when none does any more.

    Libraries that are loaded long after a process began are found when its turn comes again.

    Args:
        hook: watches a library, given its file and the offsets of its functions; returns descriptors to be closed.
        names: functions to look for.
        proc: the host's /proc.
    """

    def __init__(
        self,
        hook: Callable[[Path, Mapping[str, int]], list[int]],
        names: frozenset[str],
        *,
        proc: Path = Path("/proc"),
    ) -> None:
        self._hook = hook
        self._names = names
        self._proc = proc
        self._used: dict[int, frozenset[Library]] = {}
        """By process, in the order in which they were looked at."""
        self._watched: dict[Library, list[int]] = {}
        self._refused: dict[Library, ProbeError] = {}
        self._lock = threading.Lock()
        self._closed = False

    @property
    def problem(self) -> ProbeError | None:
        """Why a library that is in use cannot be watched; ``None`` where all can."""
        return next(iter(self._refused.values()), None)

    def look(self) -> None:
        """Look at some processes, and watch and let go accordingly; may be called from any thread."""
        with self._lock:
            if self._closed:
                return
            alive = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208 - names alone
            self._used = {pid: libraries for pid, libraries in self._used.items() if pid in alive}
            for pid in [*islice(alive - self._used.keys(), MAX_LOOKS), *islice(self._used, MAX_LOOKS)][:MAX_LOOKS]:
                self._look_at(pid)
            unused = self._take_unused()
        _let_go(unused)

    def close(self) -> None:
        """Let go of all of them, for good."""
        with self._lock:
            self._closed = True
            self._used.clear()
            _let_go(self._take_unused())

    def _look_at(self, pid: int) -> None:
        self._used.pop(pid, None)
        try:
            found = mapped(pid, proc=self._proc)
        except OSError:
            # It ended, or is a kernel thread's or another user's that may not be seen.
            found = {}
        self._used[pid] = frozenset(found)
        for library, path in found.items():
            if library not in self._watched and library not in self._refused:
                self._watch(library, path)

    def _watch(self, library: Library, path: Path) -> None:
        if len(self._watched) >= MAX_LIBRARIES:
            error = ProbeError("TooManyLibraries", f"{path}: {MAX_LIBRARIES} TLS libraries are watched already")
            self._refuse(library, error)
            return
        try:
            self._watched[library] = self._hook(path, functions(path, self._names))
        except ProbeError as error:
            self._refuse(library, error)
        else:
            _log.info("watching a TLS library", extra={"path": str(path)})

    def _refuse(self, library: Library, error: ProbeError) -> None:
        self._refused[library] = error
        _log.warning("a TLS library cannot be watched", extra={"reason": error.reason, "detail": error.message})

    def _take_unused(self) -> list[int]:
        """Forget the libraries that no process uses any more; return what keeps them watched."""
        used = frozenset().union(*self._used.values())
        self._refused = {library: error for library, error in self._refused.items() if library in used}
        unused = self._watched.keys() - used
        return [descriptor for library in unused for descriptor in self._watched.pop(library)]


def _let_go(descriptors: Sequence[int]) -> None:
    """Close them, which nobody has to wait for.

    For each one the kernel waits until no processor can be in its program any more; it does so for many at a time.
    """
    for first in range(min(_AT_ONCE, len(descriptors))):
        threading.Thread(target=_close, args=[descriptors[first::_AT_ONCE]], name="tls-detach").start()


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
