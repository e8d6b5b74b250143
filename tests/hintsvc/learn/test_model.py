"""What a model expects, and which files are no model."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenflow_hintsvc.learn.errors import ModelFormatError
from tokenflow_hintsvc.learn.inputs import HISTORY, histories
from tokenflow_hintsvc.learn.model import CARD, FILES, MAX_FILE, Bundle, Model
from tokenflow_hintsvc.learn.series import Series
from tokenflow_hintsvc.learn.training import train


@given(seed=st.integers(0, 10**6), scale=st.floats(10, 1e6))
@settings(max_examples=20, deadline=None)
def test_quantiles_stand_in_their_order_and_follow_the_paths_scale(model: Model, seed: int, scale: float) -> None:
    shape = np.exp(np.random.default_rng(seed).normal(0, 0.5, (3, HISTORY)))
    one, other = model.outlook(shape * scale), model.outlook(shape * scale * 2)
    expected = one.quantiles_us
    assert (expected["p10"] <= expected["p50"]).all()
    assert (expected["p50"] <= expected["p90"]).all()
    assert np.allclose(other.quantiles_us["p50"], expected["p50"] * 2, rtol=0.2)
    assert ((one.anomaly >= 0) & (one.anomaly <= 1)).all()


def test_a_window_like_none_in_training_is_an_anomaly(model: Model, telemetry: list[Series]) -> None:
    usual = histories(telemetry[0].rtt_us)[HISTORY::50]
    strange = np.tile(np.where(np.arange(HISTORY) % 2, 1e2, 1e7), (1, 1))
    assert np.median(model.outlook(usual).anomaly) < 0.5
    assert model.outlook(strange).anomaly[0] == 1


def test_the_same_data_and_seed_make_the_same_model(telemetry: list[Series], bundle: Bundle) -> None:
    assert train(telemetry, seed=1, now_unix_ms=lambda: 1_700_000_000_000) == bundle


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_was_changed_is_refused(bundle: Bundle, name: str) -> None:
    data = bytearray(bundle[name])
    data[len(data) // 2] ^= 1
    with pytest.raises(ModelFormatError, match=f"{name} is not the file that model.json names"):
        Model.read({**bundle, name: bytes(data)})


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_refused(bundle: Bundle, name: str) -> None:
    with pytest.raises(ModelFormatError, match=name):
        Model.read({other: data for other, data in bundle.items() if other != name})


def test_an_oversized_file_is_refused_before_it_is_looked_at(bundle: Bundle) -> None:
    with pytest.raises(ModelFormatError, match="more than 4194304"):
        Model.read({**bundle, "p50.nodes": bytes(MAX_FILE + 1)})


@pytest.mark.parametrize("card", [b"", b"{}", b"\x80\x04K\x01.", b"x" * (1 << 20), b"[" * 100_000])
def test_what_is_no_card_is_refused(bundle: Bundle, card: bytes) -> None:
    with pytest.raises(ModelFormatError, match=r"model\.json"):
        Model.read({**bundle, CARD: card})


def test_a_model_of_other_inputs_is_refused(bundle: Bundle) -> None:
    card = json.loads(bundle[CARD])
    card["inputs"] = card["inputs"][1:]
    with pytest.raises(ModelFormatError, match="was made for another release: train it anew"):
        Model.read({**bundle, CARD: json.dumps(card).encode()})


@pytest.mark.parametrize("root", [-1, 2**31, 2**70])
def test_a_tree_that_begins_nowhere_is_refused(bundle: Bundle, root: int) -> None:
    card = json.loads(bundle[CARD])
    card["trees"]["p50"]["roots"][0] = root
    with pytest.raises(ModelFormatError, match=r"trees\.p50\.roots\.0"):
        Model.read({**bundle, CARD: json.dumps(card).encode()})
