"""Round-trip times of one path, window by window: what a model learns from and is served with."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.learn.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Windows of one path in the order of their time.

    Attributes:
        name: of the path, for people.
        at_ms: start of each window, Unix milliseconds, shape ``(windows,)``; several may share one.
        rtt_us: mean round-trip time of each window, shape ``(windows,)``; NaN where the path was idle.
    """

    name: str
    at_ms: NDArray[np.int64]
    rtt_us: Floats

    def __len__(self) -> int:
        return len(self.rtt_us)


def series(name: str, windows: Iterable[tuple[int, float]]) -> Series:
    """Return the series of pairs of a start in Unix milliseconds and a mean in microseconds, 0 where idle.

    Raises:
        DataError: a mean is negative or endless.
    """
    rows = np.array(list(windows), dtype=np.float64).reshape(-1, 2)
    at_ms, rtt_us = rows[:, 0].astype(np.int64), rows[:, 1]
    if not np.isfinite(rtt_us).all() or (rtt_us < 0).any():
        raise DataError(f"{name} has round-trip times that are none: write 0 where a path was idle")
    order = np.argsort(at_ms, kind="stable")
    return Series(name=name, at_ms=at_ms[order], rtt_us=np.where(rtt_us > 0, rtt_us, np.nan)[order])


def fingerprint(paths: Iterable[Series]) -> str:
    """Return a digest of the windows, by which the same data is known again."""
    digest = sha256()
    for path in paths:
        digest.update(path.at_ms.astype("<i8").tobytes() + path.rtt_us.astype("<f8").tobytes())
    return digest.hexdigest()
