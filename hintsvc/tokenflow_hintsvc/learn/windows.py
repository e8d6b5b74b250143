"""The last windows of all paths that the leader follows."""

from collections.abc import Iterable

import numpy as np

from tokenflow_hintsvc.decide.decision import MAX_PATHS
from tokenflow_hintsvc.decide.samples import PathKey, PathSample, is_new
from tokenflow_hintsvc.learn.inputs import HISTORY, LEAST_KNOWN
from tokenflow_hintsvc.learn.series import Floats

_FORGET_MS = 120_000


class Windows:
    """A history of bounded length for a bounded number of paths; the first come stay."""

    def __init__(self) -> None:
        self._rows: dict[PathKey, Floats] = {}
        self._at_ms: dict[PathKey, int] = {}

    def observe(self, samples: Iterable[PathSample]) -> list[PathSample]:
        """Take in the newest window of each path, and return those that are new."""
        new = []
        for sample in samples:
            key = sample.key
            if key not in self._rows and len(self._rows) >= MAX_PATHS:
                continue
            if key in self._at_ms and not is_new(sample.at_ms, last_ms=self._at_ms[key]):
                continue
            row = self._rows.setdefault(key, np.full(HISTORY, np.nan))
            row[:-1] = row[1:]
            row[-1] = sample.rtt_us or np.nan
            self._at_ms[key] = sample.at_ms
            new.append(sample)
        if new:
            self._forget(before_ms=max(sample.at_ms for sample in new) - _FORGET_MS)
        return new

    def history(self, key: PathKey) -> Floats:
        """Return a path's history, oldest first, shape ``(HISTORY,)``."""
        return self._rows[key]

    def ready(self, keys: Iterable[PathKey]) -> tuple[list[PathKey], Floats]:
        """Return those of the paths of which enough is known, and copies of their histories, ``(paths, HISTORY)``."""
        known = [
            key
            for key in keys
            if key in self._rows and np.isfinite(self._rows[key][-3 * LEAST_KNOWN :]).sum() >= LEAST_KNOWN
        ]
        return known, np.array([self._rows[key] for key in known]).reshape(-1, HISTORY)

    def _forget(self, *, before_ms: int) -> None:
        for key in [key for key, at_ms in self._at_ms.items() if at_ms < before_ms]:
            del self._rows[key], self._at_ms[key]
