"""Histories with their outcomes, in the order of time: what a model is fitted to and judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.learn.baselines import baselines
from tokenflow_hintsvc.learn.errors import DataError
from tokenflow_hintsvc.learn.inputs import NAMES, STEPS, Inputs, histories, inputs
from tokenflow_hintsvc.learn.series import Floats, Series

LEAST_EXAMPLES: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Examples, ordered by the end of their history.

    Attributes:
        seen: what a model sees of each.
        outcomes_us: the next windows' mean round-trip times, shape ``(rows, STEPS)``; NaN where idle.
        baselines_us: what each baseline expects, by name, each of shape ``(rows,)``.
        starts: place in time of the history's end, counted in windows of all paths, shape ``(rows,)``.
        ends: place of the last outcome, shape ``(rows,)``.
    """

    seen: Inputs
    outcomes_us: Floats
    baselines_us: dict[str, Floats]
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts)

    def where(self, chosen: NDArray[np.bool_]) -> "Examples":
        """Return some of the examples."""
        return Examples(
            seen=Inputs(level_us=self.seen.level_us[chosen], values=self.seen.values[chosen]),
            outcomes_us=self.outcomes_us[chosen],
            baselines_us={name: expected[chosen] for name, expected in self.baselines_us.items()},
            starts=self.starts[chosen],
            ends=self.ends[chosen],
        )

    def pairs(self) -> tuple[NDArray[np.float32], Floats]:
        """Return inputs and targets of all steps whose outcome is known, in the order of time.

        A target is the logarithm of the outcome's ratio to the path's level.
        """
        targets = np.log(self.outcomes_us / self.seen.level_us[:, None]).ravel()
        known = np.isfinite(targets)
        return self.seen.values.reshape(-1, len(NAMES))[known], targets[known]


def examples(paths: Sequence[Series]) -> Examples:
    """Return the examples that paths give.

    Raises:
        DataError: they are too few.
    """
    times = np.concatenate([path.at_ms for path in paths]) if paths else np.empty(0, dtype=np.int64)
    places = np.empty(len(times), dtype=np.intp)
    places[np.argsort(times, kind="stable")] = np.arange(len(times))
    offsets = np.cumsum([0, *(len(path) for path in paths)])
    parts = [
        _of_path(path, places[offset : offset + len(path)])
        for path, offset in zip(paths, offsets, strict=False)
        if len(path) > STEPS
    ]
    count = sum(len(part) for part in parts)
    if count < LEAST_EXAMPLES:
        raise DataError(
            f"the data gives {count} forecasts to learn from, fewer than {LEAST_EXAMPLES}: record for longer"
        )
    return _merged(parts)


def _of_path(path: Series, places: NDArray[np.intp]) -> Examples:
    history = histories(path.rtt_us)[:-STEPS]
    outcomes = np.lib.stride_tricks.sliding_window_view(path.rtt_us[1:], STEPS)
    seen = inputs(history)
    whole = Examples(
        seen=seen,
        outcomes_us=outcomes,
        baselines_us=baselines(history),
        starts=places[:-STEPS],
        ends=places[STEPS:],
    )
    return whole.where(np.isfinite(seen.level_us) & np.isfinite(outcomes).any(axis=1))


def _merged(parts: Sequence[Examples]) -> Examples:
    starts = np.concatenate([part.starts for part in parts])
    order = np.argsort(starts)
    return Examples(
        seen=Inputs(
            level_us=np.concatenate([part.seen.level_us for part in parts])[order],
            values=np.concatenate([part.seen.values for part in parts])[order],
        ),
        outcomes_us=np.concatenate([part.outcomes_us for part in parts])[order],
        baselines_us={
            name: np.concatenate([part.baselines_us[name] for part in parts])[order] for name in parts[0].baselines_us
        },
        starts=starts[order],
        ends=np.concatenate([part.ends for part in parts])[order],
    )
