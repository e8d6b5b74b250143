"""The laws of the two distances, and the hysteresis of the watch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import ks_2samp

from tokenflow_hintsvc.learn.drift import distance, kolmogorov_smirnov, stability_index
from tokenflow_hintsvc.learn.inputs import GENERAL
from tokenflow_hintsvc.learn.model import Model
from tokenflow_hintsvc.learn.watch import CALM, STRIKES, Watch

samples = arrays.arrays(np.float64, st.integers(2, 60), elements=st.floats(-1e6, 1e6))
NOTHING = np.empty(0)


@settings(deadline=None)
@given(one=samples, other=samples)
def test_the_statistic_is_scipys(one: np.ndarray, other: np.ndarray) -> None:
    assert kolmogorov_smirnov(one, other) == pytest.approx(ks_2samp(one, other, method="asymp").statistic)


@settings(deadline=None)
@given(one=samples, other=samples)
def test_distances_are_bounded_and_the_first_is_symmetric(one: np.ndarray, other: np.ndarray) -> None:
    found = distance(one, other)
    assert 0 <= found.ks <= 1
    assert found.psi >= 0
    assert found.ks == kolmogorov_smirnov(other, one)


@given(one=samples)
def test_identical_samples_never_drift(one: np.ndarray) -> None:
    found = distance(one, one)
    assert (found.ks, found.psi) == (0, 0)
    assert not found.exceeds(0.1)


@given(seed=st.integers(0, 10**6), shift=st.floats(2, 1e3))
def test_a_shifted_sample_always_drifts(seed: int, shift: float) -> None:
    one = np.random.default_rng(seed).normal(size=400)
    assert distance(one, one + shift).exceeds(1)


def test_the_stability_index_of_a_moved_tenth() -> None:
    reference = np.arange(100.0)
    moved = np.where(reference < 10, 99.0, reference)
    assert stability_index(reference, moved) == pytest.approx((0.1 - 1e-4) * np.log(0.1 / 1e-4) + 0.1 * np.log(2))


def as_trained(model: Model, *, rows: int = 400) -> np.ndarray:
    picks = np.random.default_rng(0).integers(0, model.reference.shape[1], size=rows)
    return np.ascontiguousarray(model.reference[:, picks].T)


def test_the_model_stands_back_when_its_inputs_move_and_returns_when_they_are_back(model: Model) -> None:
    watch = Watch()
    for _ in range(5):
        watch.look(model, as_trained(model), None, NOTHING)
    assert not watch.drifted
    moved = as_trained(model, rows=3000) + np.float32(2)
    for _ in range(STRIKES - 1):
        watch.look(model, moved, None, NOTHING)
        assert not watch.drifted
    watch.look(model, moved, None, NOTHING)
    assert watch.drifted
    assert watch.reason == f"input {GENERAL[0]} is no longer as in training"
    back = as_trained(model, rows=3000)
    for _ in range(CALM - 1):
        watch.look(model, back, None, NOTHING)
        assert watch.drifted
    watch.look(model, back, None, NOTHING)
    assert (watch.drifted, watch.reason) == (False, "")


def test_the_model_stands_back_when_the_baseline_is_better(model: Model) -> None:
    watch = Watch()
    usual = np.random.default_rng(0).choice(model.residuals, 400).astype(np.float64)
    for _ in range(STRIKES):
        watch.look(model, as_trained(model, rows=10), (6100.0, 5000.0), usual)
    assert watch.drifted
    assert watch.reason == "its error of 6100 us is worse than the baseline's of 5000 us"


def test_an_error_that_moves_no_rate_condemns_nothing(model: Model) -> None:
    watch = Watch()
    usual = np.random.default_rng(0).choice(model.residuals, 400).astype(np.float64)
    for _ in range(STRIKES):
        watch.look(model, as_trained(model, rows=10), (204.0, 0.0), usual)
    assert not watch.drifted


def test_a_few_outcomes_condemn_nothing(model: Model) -> None:
    watch = Watch()
    for _ in range(STRIKES):
        watch.look(model, as_trained(model, rows=10), (900.0, 100.0), np.zeros(20))
    assert not watch.drifted
