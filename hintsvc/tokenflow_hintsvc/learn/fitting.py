"""Grows the trees with scikit-learn, and turns them into tables. Nothing that serves imports this module."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest

from tokenflow_hintsvc.learn.examples import Examples
from tokenflow_hintsvc.learn.inputs import GENERAL
from tokenflow_hintsvc.learn.model import QUANTILES
from tokenflow_hintsvc.learn.series import Floats
from tokenflow_hintsvc.learn.trees import NODE

_SHAPE: Final = {
    "learning_rate": 0.05,
    "max_depth": 4,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 400,
    "l2_regularization": 1.0,
    "max_features": 0.3,
}
"""Small trees of many examples each: what there is to learn is faint."""
_MAX_ROUNDS: Final = 40
"""Traffic changes: what more rounds learn of the past holds less and less for what comes."""
_PATIENCE: Final = 10
_VALIDATION: Final = 1 / 3
"""Newest share of the examples that decides when to stop: a short stretch of traffic is a moody judge."""
_ISOLATION_TREES: Final = 100
_ISOLATION_ROWS: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Grown:
    """A table of trees, as ``Trees.of`` takes it."""

    nodes: NDArray[np.void]
    roots: list[int]
    start: float


def rounds(examples: Examples, *, seed: int) -> int:
    """Return how many rounds of boosting serve best, by early stopping on the newest examples."""
    edge = examples.starts[int(len(examples) * (1 - _VALIDATION))]
    values, targets = examples.where(examples.ends < edge).pairs()
    newest, outcomes = examples.where(examples.starts >= edge).pairs()
    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=_MAX_ROUNDS,
        early_stopping=True,
        n_iter_no_change=_PATIENCE,
        random_state=seed,
        **_SHAPE,
    )
    model.fit(values, targets, X_val=newest, y_val=outcomes)
    return max(1, int(np.argmax(model.validation_score_)))


def boosted(examples: Examples, *, rounds: int, seed: int) -> dict[str, HistGradientBoostingRegressor]:
    """Return a regressor for each quantile of the logarithm of a ratio to the path's level."""
    values, targets = examples.pairs()
    fitted = {}
    for name, share in QUANTILES.items():
        loss: dict[str, Any] = {"loss": "absolute_error"} if name == "p50" else {"loss": "quantile", "quantile": share}
        model = HistGradientBoostingRegressor(
            max_iter=rounds, early_stopping=False, random_state=seed, **loss, **_SHAPE
        )
        fitted[name] = model.fit(values, targets)
    return fitted


def isolated(examples: Examples, *, seed: int) -> IsolationForest:
    """Return an isolation forest of the inputs that are the same for all steps."""
    forest = IsolationForest(n_estimators=_ISOLATION_TREES, max_samples=_ISOLATION_ROWS, random_state=seed)
    return forest.fit(isolation_inputs(examples))


def isolation_inputs(examples: Examples) -> NDArray[np.float32]:
    """Return what the isolation forest sees: 0, the level itself, stands where nothing is known."""
    return np.nan_to_num(examples.seen.values[:, 0, : len(GENERAL)])


def boosted_table(model: HistGradientBoostingRegressor) -> Grown:
    """Return the trees of a regressor, whose sum is what it predicts."""
    tables, roots = [], []
    count = 0
    for (predictor,) in model._predictors:  # noqa: SLF001 - scikit-learn has no public way to its trees
        grown = predictor.nodes
        table = np.zeros(len(grown), dtype=NODE)
        leaf = grown["is_leaf"].astype(bool)
        own = np.arange(len(grown))
        table["feature"] = np.where(leaf, 0, grown["feature_idx"])
        table["missing_left"] = grown["missing_go_to_left"]
        table["left"] = np.where(leaf, own, grown["left"]) + count
        table["right"] = np.where(leaf, own, grown["right"]) + count
        table["threshold"] = np.where(leaf, 0.0, grown["num_threshold"])
        table["value"] = np.where(leaf, grown["value"], 0.0)
        tables.append(table)
        roots.append(count)
        count += len(grown)
    start = float(np.ravel(model._baseline_prediction)[0])  # noqa: SLF001 - as above
    return Grown(nodes=np.concatenate(tables), roots=roots, start=start)


def isolation_table(forest: IsolationForest) -> Grown:
    """Return the trees of an isolation forest, whose sum is the length of a row's paths."""
    tables, roots = [], []
    count = 0
    for estimator in forest.estimators_:
        grown = estimator.tree_
        table = np.zeros(grown.node_count, dtype=NODE)
        leaf = grown.children_left < 0
        own = np.arange(grown.node_count)
        depth = np.zeros(grown.node_count)
        for node in np.flatnonzero(~leaf):
            depth[[grown.children_left[node], grown.children_right[node]]] = depth[node] + 1
        table["feature"] = np.where(leaf, 0, grown.feature)
        table["left"] = np.where(leaf, own, grown.children_left) + count
        table["right"] = np.where(leaf, own, grown.children_right) + count
        table["threshold"] = np.where(leaf, 0.0, grown.threshold)
        table["value"] = np.where(leaf, depth + mean_path(grown.n_node_samples), 0.0)
        tables.append(table)
        roots.append(count)
        count += grown.node_count
    return Grown(nodes=np.concatenate(tables), roots=roots, start=0.0)


def mean_path(rows: NDArray[np.int64]) -> Floats:
    """Return the mean length of an unsuccessful search in a binary tree of so many rows.

    Source: F. T. Liu, K. M. Ting, Z. Zhou, Isolation Forest (2008), equation 1.
    """
    many = np.maximum(rows, 3).astype(np.float64)
    length = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    shortest: Floats = np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))  # noqa: PLR2004 - two rows part at once
    return shortest
