"""How good forecasts are, against baselines, on what came later than all that was learned from."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from tokenflow_hintsvc.learn.card import Judgement, Score
from tokenflow_hintsvc.learn.errors import LearnError
from tokenflow_hintsvc.learn.examples import Examples
from tokenflow_hintsvc.learn.series import Floats

FOLDS: Final = 5
FIRST: Final = 0.4
"""Share of the examples that the first fold learns from."""

Forecaster = Callable[[Examples], Mapping[str, Floats]]
"""Returns each quantile for each step, microseconds, each of shape ``(rows, STEPS)``."""


def score(examples: Examples, quantiles_us: Mapping[str, Floats]) -> Score:
    """Return how good forecasts of ``examples`` are."""
    outcomes = examples.outcomes_us
    errors = np.abs(quantiles_us["p50"] - outcomes)
    known = np.isfinite(outcomes)
    inside = (quantiles_us["p10"] <= outcomes) & (outcomes <= quantiles_us["p90"])
    return Score(
        forecasts=len(examples),
        mae_us=float(np.nanmean(errors)),
        mae_by_step_us=np.nanmean(errors, axis=0).tolist(),
        baselines={
            name: float(np.nanmean(np.abs(expected[:, None] - outcomes)))
            for name, expected in examples.baselines_us.items()
        },
        coverage=float(inside[known].mean()),
    )


def rolling_origin(examples: Examples, learn: Callable[[Examples], Forecaster]) -> tuple[Judgement, Floats]:
    """Judge a way to learn: each fold learns from all that is over, and forecasts what comes next.

    No outcome of what a fold learns from lies in what it is judged by.

    Args:
        examples: in the order of time.
        learn: makes a forecaster of examples.

    Returns:
        The scores, and the logarithms of outcome to median, each known one.

    Source: L. J. Tashman, Out-of-sample tests of forecasting accuracy (2000).
    """
    edges = np.linspace(FIRST * len(examples), len(examples) - 1, FOLDS + 1).astype(int)
    places = examples.starts[edges]
    places[-1] += 1
    folds, tests, forecasts = [], [], []
    for begin, end in pairwise(places):
        test = examples.where((examples.starts >= begin) & (examples.starts < end))
        expected = learn(examples.where(examples.ends < begin))(test)
        folds.append(score(test, expected))
        tests.append((examples.starts >= begin) & (examples.starts < end))
        forecasts.append(expected)
    whole = {name: np.concatenate([each[name] for each in forecasts]) for name in forecasts[0]}
    tested = examples.where(np.logical_or.reduce(tests))
    residuals = np.log(tested.outcomes_us / whole["p50"]).ravel()
    return Judgement(folds=folds, whole=score(tested, whole)), residuals[np.isfinite(residuals)]


class RefusedError(LearnError):
    """A model beats no baseline."""


def accept(judgement: Judgement) -> None:
    """Let a model pass.

    Raises:
        RefusedError: it is no better than the best baseline; the message has the table that says so.
    """
    whole = judgement.whole
    if whole.mae_us >= whole.baseline_mae_us:
        raise RefusedError(
            f"refused: the model does not beat {whole.baseline}; nothing was written\n{table(judgement)}\n"
            "train on more telemetry, or on that of the paths it is to serve"
        )


def table(judgement: Judgement) -> str:
    """Return the scores as a table: one line per fold, and one of all."""
    names = list(judgement.whole.baselines)
    header = ["fold", "forecasts", "mae_us", *names, "gain", "p10..p90"]
    rows = [_row(str(number), fold, names) for number, fold in enumerate(judgement.folds, 1)]
    return _aligned([header, *rows, _row("all", judgement.whole, names)])


def _row(label: str, one: Score, names: Sequence[str]) -> list[str]:
    gain = 1 - one.mae_us / one.baseline_mae_us if one.baseline_mae_us else 0.0
    errors = [f"{one.baselines[name]:.1f}" for name in names]
    return [label, str(one.forecasts), f"{one.mae_us:.1f}", *errors, f"{gain:+.1%}", f"{one.coverage:.1%}"]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
