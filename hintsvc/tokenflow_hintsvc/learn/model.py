"""A model as it is served: verified, in memory, and independent of scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tokenflow_api.faults import first_fault
from tokenflow_hintsvc.learn.card import ModelCard
from tokenflow_hintsvc.learn.errors import ModelFormatError
from tokenflow_hintsvc.learn.inputs import GENERAL, NAMES, STEPS, Inputs, inputs
from tokenflow_hintsvc.learn.series import Floats
from tokenflow_hintsvc.learn.trees import Trees

CARD: Final = "model.json"
QUANTILES: Final = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
ANOMALY: Final = "anomaly"
REFERENCE: Final = "reference.f4"
RESIDUALS: Final = "residuals.f4"
REFERENCE_ROWS: Final = 256
"""Evenly spaced quantiles that stand for what each input was in training."""
MOST_RATIO_LOG: Final = 20.0
"""Logarithm of the greatest ratio to a path's level that is taken for a forecast: beyond it lie no round-trip times."""
MAX_CARD: Final = 1 << 20
MAX_FILE: Final = 4 << 20

Bundle = Mapping[str, bytes]
"""All files of a model, by name."""


def nodes_file(trees: str) -> str:
    """Return the name of the file that holds these trees."""
    return f"{trees}.nodes"


FILES: Final = frozenset({*(nodes_file(name) for name in (*QUANTILES, ANOMALY)), REFERENCE, RESIDUALS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What a model expects of some paths.

    Attributes:
        quantiles_us: by name, each of shape ``(rows, STEPS)``, in microseconds.
        anomaly: how strange each history looks, 0 (as in training) to 1 (beyond it), shape ``(rows,)``.
        general: inputs that are the same for all steps, shape ``(rows, len(GENERAL))``.
    """

    quantiles_us: Mapping[str, Floats]
    anomaly: Floats
    general: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model.

    Attributes:
        card: its metadata.
        quantile_trees: by the quantile's name; sums are logarithms of ratios to the path's level.
        anomaly_trees: of the isolation forest; sums are path lengths over all trees.
        reference: sorted inputs of training, shape ``(len(GENERAL), REFERENCE_ROWS)``.
        residuals: sorted logarithms of outcome to median, from the rolling origin, shape ``(REFERENCE_ROWS,)``.
        bundle: the files that it was read from.
    """

    card: ModelCard
    quantile_trees: Mapping[str, Trees]
    anomaly_trees: Trees
    reference: NDArray[np.float32]
    residuals: NDArray[np.float32]
    bundle: Bundle

    @classmethod
    def read(cls, bundle: Bundle) -> Self:
        """Return the model that files hold.

        Raises:
            ModelFormatError: one is missing, too large, damaged, or of another release.
        """
        card = read_card(bundle)
        for name in sorted(FILES):
            data = bundle.get(name, b"")
            if len(data) > MAX_FILE:
                raise ModelFormatError(f"{name} has {len(data)} bytes, more than {MAX_FILE}: train the model anew")
            if not compare_digest(sha256(data).hexdigest(), card.files.get(name, "")):
                raise ModelFormatError(f"{name} is not the file that {CARD} names: copy or push the model again")
        if set(card.trees) != {*QUANTILES, ANOMALY} or tuple(card.inputs) != NAMES:
            raise ModelFormatError(f"model {card.version} was made for another release: train it anew")
        trees = {
            name: Trees.of(
                bundle[nodes_file(name)],
                roots=own.roots,
                start=own.start,
                features=len(GENERAL) if name == ANOMALY else len(NAMES),
            )
            for name, own in card.trees.items()
        }
        return cls(
            card=card,
            quantile_trees={name: trees[name] for name in QUANTILES},
            anomaly_trees=trees[ANOMALY],
            reference=_table(bundle[REFERENCE], rows=len(GENERAL), name=REFERENCE),
            residuals=_table(bundle[RESIDUALS], rows=1, name=RESIDUALS)[0],
            bundle=dict(bundle),
        )

    def outlook(self, history_us: Floats) -> Outlook:
        """Return what the model expects; about a thread's 0.1 ms per path.

        Args:
            history_us: mean round-trip times, shape ``(rows, HISTORY)``, oldest first, NaN where idle; each row
                with at least ``LEAST_KNOWN`` of its last thirty windows known.
        """
        seen = inputs(history_us)
        general = seen.values[:, 0, : len(GENERAL)]
        return Outlook(quantiles_us=self.quantiles_us(seen), anomaly=self._anomaly(general), general=general)

    def quantiles_us(self, seen: Inputs) -> dict[str, Floats]:
        """Return each quantile for each step, microseconds, each of shape ``(rows, STEPS)``, in their order."""
        flat = seen.values.reshape(-1, len(NAMES))
        logs = [trees.sums(flat).reshape(-1, STEPS) for trees in self.quantile_trees.values()]
        # Trees of different quantiles are grown apart, and may cross.
        ordered = np.clip(np.sort(np.stack(logs), axis=0), -MOST_RATIO_LOG, MOST_RATIO_LOG)
        return {
            name: seen.level_us[:, None] * np.exp(ratio)
            for name, ratio in zip(self.quantile_trees, ordered, strict=True)
        }

    def strangeness(self, general: NDArray[np.float32]) -> Floats:
        """Return the isolation forest's score, about 0.4 for the usual and up to 1, shape ``(rows,)``.

        Source: F. T. Liu, K. M. Ting, Z. Zhou, Isolation Forest (2008).
        """
        paths = self.anomaly_trees.sums(np.nan_to_num(general)) / len(self.anomaly_trees.roots)
        score: Floats = 2.0 ** (-paths / self.card.strangeness.leaf_path)
        return score

    def _anomaly(self, general: NDArray[np.float32]) -> Floats:
        known = self.card.strangeness
        span = max(known.limit - known.usual, 1e-9)
        return np.clip((self.strangeness(general) - known.usual) / span, 0.0, 1.0)


def read_card(bundle: Bundle) -> ModelCard:
    """Return a model's metadata; its other files are not looked at.

    Raises:
        ModelFormatError: there is none, or it is too large or no such document.
    """
    data = bundle.get(CARD, b"")
    if not data or len(data) > MAX_CARD:
        raise ModelFormatError(f"{CARD} is missing or larger than {MAX_CARD} bytes: name a model that 'train' wrote")
    try:
        return ModelCard.model_validate_json(data)
    except ValidationError as error:
        raise ModelFormatError(f"{CARD}: {first_fault(error)}: train the model anew") from error


def _table(data: bytes, *, rows: int, name: str) -> NDArray[np.float32]:
    if len(data) != rows * REFERENCE_ROWS * 4:
        raise ModelFormatError(f"{name} is no table of {rows} by {REFERENCE_ROWS} numbers: train the model anew")
    table = np.frombuffer(data, dtype="<f4").reshape(rows, REFERENCE_ROWS)
    if not np.isfinite(table).all() or (np.diff(table, axis=1) < 0).any():
        raise ModelFormatError(f"{name} is not sorted: train the model anew")
    return table
