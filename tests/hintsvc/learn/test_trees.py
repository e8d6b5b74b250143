"""Compiled trees say what scikit-learn says, and bytes that are no trees are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest

from tokenflow_hintsvc.learn.errors import ModelFormatError
from tokenflow_hintsvc.learn.fitting import Grown, boosted_table, isolation_table, mean_path
from tokenflow_hintsvc.learn.trees import NODE, Trees

FEATURES = 5


def table(seed: int, *, rows: int = 400, holes: float = 0.1) -> np.ndarray:
    drawn = np.random.default_rng(seed)
    values = drawn.normal(size=(rows, FEATURES)).astype(np.float32)
    values[drawn.random(values.shape) < holes] = np.nan
    return values


def compiled(grown: Grown) -> Trees:
    return Trees.of(grown.nodes.tobytes(), roots=grown.roots, start=grown.start, features=FEATURES)


@pytest.fixture(scope="module", params=[{"loss": "absolute_error"}, {"loss": "quantile", "quantile": 0.9}])
def regressor(request: pytest.FixtureRequest) -> HistGradientBoostingRegressor:
    values = table(0)
    targets = np.nan_to_num(values).sum(axis=1) + np.isnan(values[:, 0])
    return HistGradientBoostingRegressor(max_iter=20, random_state=0, **request.param).fit(values, targets)


@pytest.fixture(scope="module")
def forest() -> IsolationForest:
    return IsolationForest(n_estimators=30, max_samples=64, random_state=0).fit(table(0, holes=0))


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), holes=st.floats(0, 1))
def test_boosted_trees_predict_what_scikit_learn_predicts(
    regressor: HistGradientBoostingRegressor, seed: int, holes: float
) -> None:
    values = table(seed, rows=30, holes=holes)
    difference = compiled(boosted_table(regressor)).sums(values) - regressor.predict(values)
    assert np.abs(difference).max() < 1e-9


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100))
def test_isolation_scores_are_those_of_scikit_learn(forest: IsolationForest, seed: int, scale: float) -> None:
    values = table(seed, rows=30, holes=0) * np.float32(scale)
    paths = compiled(isolation_table(forest)).sums(values) / 30
    ours = 2 ** (-paths / mean_path(np.array([64]))[0])
    assert np.abs(ours + forest.score_samples(values)).max() < 1e-9


def test_no_rows_have_no_sums(regressor: HistGradientBoostingRegressor) -> None:
    assert len(compiled(boosted_table(regressor)).sums(np.empty((0, FEATURES), dtype=np.float32))) == 0


@given(data=st.binary(max_size=20 * NODE.itemsize), root=st.integers(-2, 30))
def test_any_bytes_are_trees_that_end_or_are_refused(data: bytes, root: int) -> None:
    try:
        trees = Trees.of(data, roots=[root], start=0.0, features=FEATURES)
    except ModelFormatError:
        return
    assert np.isfinite(trees.sums(table(1, rows=3))).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("feature", FEATURES), ("feature", -1), ("left", 0), ("right", 10**6), ("left", -5), ("value", np.inf)],
)
def test_a_node_that_points_elsewhere_is_refused(
    regressor: HistGradientBoostingRegressor, field: str, value: float
) -> None:
    grown = boosted_table(regressor)
    grown.nodes[field][1] = value
    with pytest.raises(ModelFormatError, match="no trees"):
        compiled(grown)


def test_more_nodes_than_any_model_has_are_refused() -> None:
    with pytest.raises(ModelFormatError, match="no table of 1 to 100000 nodes"):
        Trees.of(bytes(100_001 * NODE.itemsize), roots=[0], start=0.0, features=FEATURES)
