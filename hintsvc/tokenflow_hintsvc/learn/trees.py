"""Trees as tables of numbers, and their sums without scikit-learn.

A node is a fixed record, so that a file of them needs no parser: bytes that are no such table are refused before
anything is done with them, and no bytes can make this code run other code, which a pickle can.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tokenflow_hintsvc.learn.errors import ModelFormatError
from tokenflow_hintsvc.learn.series import Floats

NODE: Final = np.dtype(
    [
        ("feature", "<i2"),
        ("missing_left", "<i2"),
        ("left", "<i4"),
        ("right", "<i4"),
        ("threshold", "<f8"),
        ("value", "<f8"),
    ]
)
"""A leaf is its own child on both sides, so that all rows may go on until the deepest has arrived."""

MAX_NODES: Final = 100_000
MAX_VALUE: Final = 1e6
"""Of a leaf: sums of more would be no numbers, and no model has any."""
_MAX_DEPTH: Final = 64
_CHUNK: Final = 2048
"""Rows at a time: their places in all trees fit a cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trees:
    """Some trees, of which the sum is taken.

    Attributes:
        nodes: of all trees, of dtype ``NODE``.
        roots: where each tree begins.
        start: what the sum begins with.
        depth: steps from a root to the deepest leaf.
    """

    nodes: NDArray[np.void]
    roots: NDArray[np.int32]
    start: float
    depth: int

    @classmethod
    def of(cls, data: bytes, *, roots: list[int], start: float, features: int) -> Self:
        """Return the trees that a file holds.

        Raises:
            ModelFormatError: they are none: too many, or nodes that point elsewhere, back, or at unknown features.
        """
        if not data or len(data) % NODE.itemsize or len(data) > MAX_NODES * NODE.itemsize:
            raise ModelFormatError(f"{len(data)} bytes are no table of 1 to {MAX_NODES} nodes")
        nodes = np.frombuffer(data, dtype=NODE)
        places = np.array(roots, dtype=np.int32)
        own = np.arange(len(nodes))
        left, right = nodes["left"], nodes["right"]
        leaf = (left == own) & (right == own)
        onward = (left > own) & (right > own) & (left < len(nodes)) & (right < len(nodes))
        sound = (
            (leaf | onward).all()
            and (nodes["feature"] >= 0).all()
            and (nodes["feature"] < features).all()
            and not np.isnan(nodes["threshold"]).any()
            and (np.abs(nodes["value"]) <= MAX_VALUE).all()
            and len(places) > 0
            and ((places >= 0) & (places < len(nodes))).all()
        )
        if not sound:
            raise ModelFormatError("its nodes are no trees")
        return cls(nodes=nodes, roots=places, start=start, depth=_depth(nodes, places))

    def sums(self, values: NDArray[np.float32]) -> Floats:
        """Return the sum over all trees for each row, shape ``(rows,)``.

        Args:
            values: inputs, shape ``(rows, features)``; NaN is missing.
        """
        chunks = [self._sums(values[at : at + _CHUNK]) for at in range(0, len(values), _CHUNK)]
        return np.concatenate(chunks) if chunks else np.empty(0)

    def _sums(self, values: NDArray[np.float32]) -> Floats:
        feature, threshold = self.nodes["feature"].astype(np.intp), self.nodes["threshold"]
        left, right, missing_left = self.nodes["left"], self.nodes["right"], self.nodes["missing_left"] != 0
        width = values.shape[1]
        flat = values.ravel()
        offsets = (np.arange(len(values), dtype=np.intp) * width)[:, None]
        at = np.broadcast_to(self.roots, (len(values), len(self.roots)))
        for _ in range(self.depth):
            seen = flat.take(offsets + feature.take(at))
            goes_left = np.where(np.isnan(seen), missing_left.take(at), seen <= threshold.take(at))
            at = np.where(goes_left, left.take(at), right.take(at))
        total: Floats = self.start + self.nodes["value"].take(at).sum(axis=1)
        return total


def _depth(nodes: NDArray[np.void], roots: NDArray[np.int32]) -> int:
    at = np.unique(roots)
    for depth in range(_MAX_DEPTH + 1):
        inner = at[nodes["left"][at] != at]
        if not len(inner):
            return depth
        at = np.unique(np.concatenate([nodes["left"][inner], nodes["right"][inner]]))
    raise ModelFormatError(f"its trees are deeper than {_MAX_DEPTH} nodes")
