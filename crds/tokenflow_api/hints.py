"""What the hint service tells of streams: hints, snapshots, and how their rates came about."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from tokenflow_api._base import WireModel
from tokenflow_api.modes import Mode, ModelMode

SCHEMA: Final = 1
ALL_PATHS: Final = "*"
"""Path of the hint that holds for a tenant where no narrower one is known."""


class PathState(StrEnum):
    """What the control law thinks of a path."""

    CLEAR = "Clear"
    CONGESTED = "Congested"
    DEGRADED = "Degraded"
    """Too little is known: the rate drifts to the fallback."""


class Source(StrEnum):
    """Where a hint comes from."""

    LIVE = "Live"
    FALLBACK = "Fallback"


class Admission(StrEnum):
    """What to do with a new request of a tenant."""

    ADMIT = "Admit"
    QUEUE = "Queue"
    """Hold it back for a moment: the GPUs are saturated, and others come first."""
    SHED = "Shed"
    """Refuse it, and say when to come back."""


class Term(WireModel):
    """What one signal did to a health: it multiplied it by ``factor``, 1 where it is within its threshold.

    ``value`` and ``threshold`` are in the signal's own unit. A signal that nobody measured has no value; it keeps the
    factor that it last had, 1 where it never had any, and widens the uncertainty instead.
    """

    signal: str
    value: float | None
    threshold: float
    factor: Annotated[float, Field(ge=0, le=1)]


class HintSignals(WireModel):
    """The measurements behind a hint; absent where nobody saw them."""

    rtt_us: float | None = None
    rtt_min_us: float | None = None
    retransmit_ratio: float | None = None
    backlog_ratio: float | None = None
    http_p99_us: float | None = None
    http_error_ratio: float | None = None
    gpu_saturation: float | None = None
    delivered_tokens_per_second: float | None = None
    active_streams: int = 0


class Hint(WireModel):
    """How fast one stream of a tenant may run on one path.

    ``path`` is ``<upstream>/<destination class>``, or ``*``. ``tokens_per_second`` is the rate of one stream.
    ``missing`` names the sides that saw nothing (``agent``, ``gateway``). ``mode`` is the policy's; where it is not
    ``Enforce``, clients are told a rate that no stream reaches, and batches of one.
    ``uncertainty`` is the share of the signals that nobody measured, ``terms`` are those that moved the health.
    ``reasons`` name what moved the rate. ``retry_after_ms`` counts only where ``admission`` is not ``Admit``;
    ``max_tokens_hint`` suggests a shorter completion. ``model`` is the version that moved the rate, empty for the
    law alone.
    """

    tenant: str
    path: str = ALL_PATHS
    tokens_per_second: Annotated[float, Field(gt=0)]
    batch_size: Annotated[int, Field(ge=1)]
    batch_delay_ms: Annotated[int, Field(ge=0)]
    health: Annotated[float, Field(ge=0, le=1)]
    state: PathState
    source: Source
    mode: Mode
    reasons: list[str] = []
    missing: list[str] = []
    signals: HintSignals = HintSignals()
    uncertainty: Annotated[float, Field(ge=0, le=1)] = 0.0
    terms: list[Term] = []
    admission: Admission = Admission.ADMIT
    retry_after_ms: Annotated[int, Field(ge=0)] = 0
    max_tokens_hint: Annotated[int, Field(ge=1)] | None = None
    model: str = ""


class NodeHealth(WireModel):
    """Health of one node, as its agent's signals speak of it."""

    agent: str
    node: str
    health: Annotated[float, Field(ge=0, le=1)]
    uncertainty: Annotated[float, Field(ge=0, le=1)] = 0.0
    terms: list[Term] = []


class ModelReport(WireModel):
    """The learned model that a leader runs beside the law, and why it acts less than asked, if it does."""

    mode: ModelMode
    version: str = ""
    message: str = ""
    drifted: bool = False
    mae_us: float | None = None
    baseline_mae_us: float | None = None


class Snapshot(WireModel):
    """All hints of a policy at one moment, as its leader computed them.

    ``term`` fences out an old leader, ``version`` grows by one per snapshot within a term, ``generation`` is
    the policy generation that it was computed with, ``ttl_ms`` how long it may be trusted. ``health`` is that of the
    worst path and of the GPUs together. In mode ``Shadow`` the ``hints`` change nothing, and ``shadow`` holds what
    they would be in mode ``Enforce``.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    term: int
    version: int
    generation: int
    at_unix_ms: int
    ttl_ms: int
    health: Annotated[float, Field(ge=0, le=1)]
    hints: list[Hint]
    uncertainty: Annotated[float, Field(ge=0, le=1)] = 0.0
    nodes: list[NodeHealth] = []
    model: ModelReport | None = None
    shadow: list[Hint] = []


class HealthReply(WireModel):
    """Health of the whole, of each node and of the paths that the caller may read."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    health: Annotated[float, Field(ge=0, le=1)]
    uncertainty: Annotated[float, Field(ge=0, le=1)]
    at_unix_ms: int
    stale: bool
    nodes: list[NodeHealth] = []
    paths: list[Hint] = []
    model: ModelReport | None = None


class RateStep(WireModel):
    """One step on the way to a rate: the rate after it, and whether it acted."""

    name: str
    tokens_per_second: float
    acted: bool


class Explanation(WireModel):
    """How the rate of one path came about: inputs, all terms, and each step from the law to the hint."""

    hint: Hint
    terms: list[Term]
    steps: list[RateStep]


class ExplainReply(WireModel):
    """The explanations of a tenant's paths, from the round of the leader that ended at ``at_unix_ms``."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    tenant: str
    term: int
    version: int
    generation: int
    at_unix_ms: int
    explanations: list[Explanation]


class HintReply(WireModel):
    """Answer to a hint read: one hint, and how far it can be trusted."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    hint: Hint
    generation: int
    version: int
    at_unix_ms: int
    ttl_ms: int
