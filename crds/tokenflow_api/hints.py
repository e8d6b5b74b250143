"""What the hint service tells: hints, snapshots and the state of its cluster."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from tokenflow_api._base import WireModel
from tokenflow_api.pacing_policy import Mode
from tokenflow_api.telemetry import Signal

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


class HintSignals(WireModel):
    """The measurements behind a hint; absent where nobody saw them."""

    rtt_us: float | None = None
    rtt_min_us: float | None = None
    retransmit_ratio: float | None = None
    delivered_tokens_per_second: float | None = None
    active_streams: int = 0


class Hint(WireModel):
    """How fast one stream of a tenant may run on one path.

    ``path`` is ``<upstream>/<destination class>``, or ``*``. ``tokens_per_second`` is the rate of one stream.
    ``missing`` names the sides that saw nothing (``agent``, ``gateway``). ``mode`` tells whether to obey it.
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


class Snapshot(WireModel):
    """All hints of a policy at one moment, as its leader computed them.

    ``term`` fences out an old leader, ``version`` grows by one per snapshot within a term, ``generation`` is
    the policy generation that it was computed with, ``ttl_ms`` how long it may be trusted.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    term: int
    version: int
    generation: int
    at_unix_ms: int
    ttl_ms: int
    health: Annotated[float, Field(ge=0, le=1)]
    hints: list[Hint]


class HintReply(WireModel):
    """Answer to a hint read: one hint, and how far it can be trusted."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    hint: Hint
    generation: int
    version: int
    at_unix_ms: int
    ttl_ms: int


class Replica(WireModel):
    """A hint service replica and the generation that it serves."""

    name: str
    generation: int
    leader: bool = False
    at_unix_ms: int


class NodeReport(WireModel):
    """What the agent of one node last said of its signals."""

    agent: str
    node: str
    at_unix_ms: int
    signals: list[Signal] = []


class ClusterView(WireModel):
    """State of a policy's hint service, as any of its replicas sees it."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    leader: str = ""
    term: int = 0
    replicas: list[Replica] = []
    nodes: list[NodeReport] = []
    snapshot: Snapshot | None = None
