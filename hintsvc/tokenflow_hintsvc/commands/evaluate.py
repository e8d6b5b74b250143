"""``evaluate``: how good a model is on given telemetry."""

import argparse
import json
import sys

from tokenflow_hintsvc.commands.telemetry import series_of
from tokenflow_hintsvc.learn import folder
from tokenflow_hintsvc.learn.card import Judgement
from tokenflow_hintsvc.learn.examples import examples
from tokenflow_hintsvc.learn.judging import score, table
from tokenflow_hintsvc.learn.model import Model
from tokenflow_hintsvc.learn.series import fingerprint

_WARNING = "this is the data that the model learned from: judge it by its rolling origin, or by later data\n"


def main(arguments: argparse.Namespace) -> int:
    """Print the model's errors and the baselines', in microseconds.

    Raises:
        LearnError: the model or the data is not usable.
    """
    model = Model.read(folder.read(arguments.model))
    paths = series_of(arguments)
    known = examples(paths)
    one = score(known, model.quantiles_us(known.seen))
    learned_from = fingerprint(paths) == model.card.trained_on.fingerprint
    judged = model.card.judgement
    if arguments.json:
        answer = {
            "version": model.card.version,
            "mae": one.mae_us,
            "baseline_mae": one.baseline_mae_us,
            "baseline": one.baseline,
            "baselines": one.baselines,
            "mae_by_step": one.mae_by_step_us,
            "coverage": one.coverage,
            "forecasts": one.forecasts,
            "learned_from_this_data": learned_from,
            "rolling_origin": {
                "mae": judged.whole.mae_us,
                "baseline_mae": judged.whole.baseline_mae_us,
                "folds": [fold.model_dump() for fold in judged.folds],
            },
        }
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{table(Judgement(folds=[one], whole=one))}\n")
    if learned_from:
        sys.stdout.write(f"{_WARNING}{table(judged)}\n")
    return 0
