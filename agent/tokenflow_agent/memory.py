"""Holds little memory, and gives back what only the start needed."""

import ctypes
import gc
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_MADV_DONTNEED: Final = 4
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 64 << 10
_SMAPS: Final = Path("/proc/self/smaps")


def hold_little() -> None:
    """Have malloc keep no more than it must; to be called before there are threads."""
    libc = ctypes.CDLL(None)
    # Threads are few and mostly wait: a heap of its own for each would be full of holes.
    libc.mallopt(_M_ARENA_MAX, 1)
    # Large blocks on their own pages, which go back when they are freed, rather than holes in the heap.
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return freed memory, and pages of files, to the kernel.

    Much of the libraries' code and data is needed once, at the import. The kernel keeps such pages mapped until
    memory is short; dropped, those that are needed again come back from the page cache.
    """
    gc.collect()
    gc.freeze()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.malloc_trim(0)
    for start, length in untouched(_SMAPS.read_text()):
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED):
            _log.debug("pages stay in memory", extra={"errno": ctypes.get_errno()})


def untouched(smaps: str) -> Iterator[tuple[int, int]]:
    """Yield start and length of each mapping that is all as its file is: read-only, without a page of its own.

    Args:
        smaps: text of ``/proc/self/smaps``.
    """
    mapping: tuple[int, int] | None = None
    for line in smaps.splitlines():
        fields = line.split(maxsplit=5)
        if "-" in fields[0]:
            start, end = (int(part, 16) for part in fields[0].split("-"))
            of_file = len(fields) > 5 and fields[5].startswith("/")  # noqa: PLR2004 - its path
            mapping = (start, end - start) if of_file and fields[1] in ("r-xp", "r--p") else None
        elif mapping and fields[:2] == ["Anonymous:", "0"]:
            yield mapping
