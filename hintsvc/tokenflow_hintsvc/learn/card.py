"""What is written beside a model's trees: where it comes from, how good it is, and what its files must be."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from tokenflow_api._base import WireModel
from tokenflow_hintsvc.learn.trees import MAX_NODES

SCHEMA: Final = 1
MAX_TREES: Final = 1000

Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Checksum = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Microseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BySteps = Annotated[list[Microseconds], Field(min_length=10, max_length=10)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Score(WireModel):
    """Mean absolute errors over the next ten windows, in microseconds.

    ``baselines`` has those of each baseline, ``coverage`` is the share of outcomes between p10 and p90, 0.8 for a
    perfect model. ``forecasts`` counts the histories, each forecast ten windows ahead.
    """

    forecasts: int
    mae_us: Microseconds
    mae_by_step_us: BySteps
    baselines: Annotated[dict[str, Microseconds], Field(max_length=4)]
    coverage: Annotated[float, Field(ge=0, le=1)]

    @property
    def baseline(self) -> str:
        """The best baseline's name."""
        return min(self.baselines, key=lambda name: self.baselines[name])

    @property
    def baseline_mae_us(self) -> float:
        """The best baseline's error."""
        return self.baselines[self.baseline]


class Judgement(WireModel):
    """The score of a rolling origin: of each fold, and of all their forecasts together."""

    folds: Annotated[list[Score], Field(min_length=1, max_length=20)]
    whole: Score


class TrainedOn(WireModel):
    """What a model learned from; ``fingerprint`` tells whether other data is the same."""

    windows: int
    paths: int
    first_unix_ms: int
    last_unix_ms: int
    fingerprint: Checksum


class TreesCard(WireModel):
    """Where the trees of a file begin, and what their sum begins with."""

    roots: Annotated[list[Annotated[int, Field(ge=0, lt=MAX_NODES)]], Field(min_length=1, max_length=MAX_TREES)]
    start: Finite


class Strangeness(WireModel):
    """Scores of the isolation forest on what it learned from: the usual one, and one that few exceed."""

    usual: Finite
    limit: Finite
    leaf_path: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Mean length of the paths in a tree of as many windows as each was grown from."""


class ModelCard(WireModel):
    """A model's metadata: the file ``model.json``."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    version: Version
    created_unix_ms: int
    seed: int
    rounds: int
    inputs: Annotated[list[str], Field(max_length=64)]
    trained_on: TrainedOn
    judgement: Judgement
    trees: Annotated[dict[str, TreesCard], Field(max_length=8)]
    strangeness: Strangeness
    files: Annotated[dict[str, Checksum], Field(max_length=8)]
    """Checksum (SHA-256) of each other file."""
