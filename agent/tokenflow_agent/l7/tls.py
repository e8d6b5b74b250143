"""Keeps the TLS libraries of all processes watched, as processes and libraries come and go."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.l7.elf import functions
from tokenflow_agent.l7.libraries import Library, mapped
from tokenflow_agent.retry import Retry

_log = logging.getLogger(__name__)

MAX_LIBRARIES: Final = 64
MAX_LOOKS: Final = 128
"""Processes looked at in one turn, new ones first."""
MAX_PAUSE: Final = 128
"""Turns until an old process is looked at again."""
_AT_ONCE: Final = 32
"""Threads that detach probes."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A process: what it used at turn ``turn``; it is due ``pause`` turns later."""

    libraries: frozenset[Library]
    turn: int
    pause: int


@dataclass(frozen=True, slots=True)
class _Refused:
    """A library that cannot be watched: why, and when that is tried again."""

    error: ProbeError
    retry: Retry


class TlsLibraries:
    """Watches each library once, however many processes use it, and lets go of it when none does any more.

    Reading what a process has mapped is dear, and most change little: each is looked at again after one turn, two
    more, four more, up to ``MAX_PAUSE``. So the libraries that a young process loads, or those of a program that takes
    its place, are found soon, and others in the end.

    Args:
        hook: watches a library, given its file and the offsets of its functions; returns descriptors to be closed.
        names: functions to look for.
        proc: the host's /proc.
        retry: makes what tells when a library that was refused is tried again.
    """

    def __init__(
        self,
        hook: Callable[[Path, Mapping[str, int]], list[int]],
        names: frozenset[str],
        *,
        proc: Path = Path("/proc"),
        retry: Callable[[], Retry] = Retry,
    ) -> None:
        self._hook = hook
        self._retry = retry
        self._names = names
        self._proc = proc
        self._turn = 0
        self._seen: dict[int, _Seen] = {}
        """By process, the one that was looked at last at the end."""
        self._watched: dict[Library, list[int]] = {}
        self._refused: dict[Library, _Refused] = {}
        self._lock = threading.Lock()
        self._closed = False

    @property
    def problem(self) -> ProbeError | None:
        """Why a library that is in use cannot be watched; ``None`` where all can."""
        return next((refused.error for refused in self._refused.values()), None)

    def look(self) -> None:
        """Look at some processes, and watch and let go accordingly; may be called from any thread."""
        with self._lock:
            if self._closed:
                return
            alive = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208 - names alone
            self._seen = {pid: seen for pid, seen in self._seen.items() if pid in alive}
            self._turn += 1
            due = (pid for pid, seen in self._seen.items() if self._turn - seen.turn >= seen.pause)
            for pid in list(islice(chain(alive - self._seen.keys(), due), MAX_LOOKS)):
                self._look_at(pid)
            unused = self._take_unused()
        for thread in _let_go(unused):
            thread.join()

    def close(self) -> None:
        """Let go of all of them, for good."""
        with self._lock:
            self._closed = True
            self._seen.clear()
            _let_go(self._take_unused())

    def _look_at(self, pid: int) -> None:
        before = self._seen.pop(pid, None)
        try:
            found = mapped(pid, proc=self._proc)
        except OSError:
            # It ended, or is a kernel thread's or another user's that may not be seen.
            found = {}
        pause = min(MAX_PAUSE, 2 * before.pause) if before else 1
        self._seen[pid] = _Seen(frozenset(found), self._turn, pause)
        for library, path in found.items():
            refused = self._refused.get(library)
            if library not in self._watched and (refused is None or refused.retry.due):
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
            self._refused.pop(library, None)
            _log.info("watching a TLS library", extra={"path": str(path)})

    def _refuse(self, library: Library, error: ProbeError) -> None:
        before = self._refused.get(library)
        # The message names a process, and another one each time.
        if before is None or before.error.reason != error.reason:
            _log.warning("a TLS library cannot be watched", extra={"reason": error.reason, "detail": error.message})
        refused = self._refused[library] = _Refused(error, before.retry if before else self._retry())
        refused.retry.failed(lasting=error.lasting)

    def _take_unused(self) -> list[int]:
        """Forget the libraries that no process uses any more; return what keeps them watched."""
        used = frozenset().union(*(seen.libraries for seen in self._seen.values()))
        self._refused = {library: refused for library, refused in self._refused.items() if library in used}
        unused = self._watched.keys() - used
        return [descriptor for library in unused for descriptor in self._watched.pop(library)]


def _let_go(descriptors: Sequence[int]) -> list[threading.Thread]:
    """Close them in threads, which are returned.

    For each one the kernel waits until no processor can be in its program any more; it does so for many at a time.
    """
    shares = (descriptors[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(descriptors))))
    threads = [threading.Thread(target=_close, args=[share], name="tls-detach") for share in shares]
    for thread in threads:
        thread.start()
    return threads


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
