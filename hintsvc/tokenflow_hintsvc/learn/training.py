"""From telemetry to a model's files, judged before they are made. Nothing that serves imports this module."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.learn import fitting
from tokenflow_hintsvc.learn.card import ModelCard, Strangeness, TrainedOn, TreesCard
from tokenflow_hintsvc.learn.examples import Examples, examples
from tokenflow_hintsvc.learn.inputs import NAMES, STEPS
from tokenflow_hintsvc.learn.judging import Forecaster, accept, rolling_origin
from tokenflow_hintsvc.learn.model import ANOMALY, CARD, REFERENCE, REFERENCE_ROWS, RESIDUALS, Bundle, nodes_file
from tokenflow_hintsvc.learn.series import Floats, Series, fingerprint

_USUAL, _LIMIT = 0.5, 0.995


def train(
    paths: Sequence[Series],
    *,
    seed: int,
    now_unix_ms: Callable[[], int],
    version: str | None = None,
) -> Bundle:
    """Return the files of a model that beats the baselines.

    Args:
        paths: to learn from.
        seed: of all that is drawn; the same data and seed give the same trees.
        now_unix_ms: Unix time in milliseconds.
        version: of the model; by default one that its trees determine.

    Raises:
        DataError: the data is too little.
        RefusedError: the best baseline is as good.
    """
    known = examples(paths)
    judgement, residuals = rolling_origin(known, lambda past: _forecaster(past, seed=seed))
    accept(judgement)
    rounds = fitting.rounds(known, seed=seed)
    grown = {
        name: fitting.boosted_table(model) for name, model in fitting.boosted(known, rounds=rounds, seed=seed).items()
    }
    forest = fitting.isolated(known, seed=seed)
    grown[ANOMALY] = fitting.isolation_table(forest)
    seen = fitting.isolation_inputs(known)
    files = {nodes_file(name): trees.nodes.tobytes() for name, trees in grown.items()}
    files[REFERENCE] = _sorted(seen.T)
    files[RESIDUALS] = _sorted(residuals[None, :])
    checksums = {name: sha256(data).hexdigest() for name, data in sorted(files.items())}
    scores = -forest.score_samples(seen)
    card = ModelCard(
        version=version or "m-" + sha256(json.dumps(checksums).encode()).hexdigest()[:12],
        created_unix_ms=now_unix_ms(),
        seed=seed,
        rounds=rounds,
        inputs=list(NAMES),
        trained_on=_trained_on(paths),
        judgement=judgement,
        trees={name: TreesCard(roots=trees.roots, start=trees.start) for name, trees in grown.items()},
        strangeness=Strangeness(
            usual=float(np.quantile(scores, _USUAL)),
            limit=float(np.quantile(scores, _LIMIT)),
            leaf_path=float(fitting.mean_path(np.array([forest.max_samples_]))[0]),
        ),
        files=checksums,
    )
    return {CARD: card.model_dump_json(indent=1).encode(), **files}


def _forecaster(past: Examples, *, seed: int) -> Forecaster:
    fitted = fitting.boosted(past, rounds=fitting.rounds(past, seed=seed), seed=seed)

    def forecast(test: Examples) -> Mapping[str, Floats]:
        flat = test.seen.values.reshape(-1, len(NAMES))
        logs = np.sort(np.stack([model.predict(flat).reshape(-1, STEPS) for model in fitted.values()]), axis=0)
        return {name: test.seen.level_us[:, None] * np.exp(ratio) for name, ratio in zip(fitted, logs, strict=True)}

    return forecast


def _trained_on(paths: Sequence[Series]) -> TrainedOn:
    times = np.concatenate([path.at_ms for path in paths])
    return TrainedOn(
        windows=len(times),
        paths=len(paths),
        first_unix_ms=int(times.min()),
        last_unix_ms=int(times.max()),
        fingerprint=fingerprint(paths),
    )


def _sorted(columns: NDArray[np.floating]) -> bytes:
    shares = np.linspace(0, 1, REFERENCE_ROWS)
    table: NDArray[np.float32] = np.quantile(columns, shares, axis=1).T.astype("<f4")
    return table.tobytes()
