"""What the hint service tells of itself: its replicas, and who reports to them."""

from typing import Literal

from pydantic import Field

from tokenflow_api._base import WireModel
from tokenflow_api.hints import SCHEMA, Snapshot
from tokenflow_api.telemetry import AgentCost, Signal


class Replica(WireModel):
    """A hint service replica and the generation that it serves.

    ``error`` tells why it refused a newer runtime config, empty where it did not.
    """

    name: str
    generation: int
    leader: bool = False
    at_unix_ms: int
    error: str = ""


class NodeReport(WireModel):
    """What the agent of one node last said of its signals, and of its own cost within a window of ``window_ms``."""

    agent: str
    node: str
    at_unix_ms: int
    signals: list[Signal] = []
    window_ms: int = 1000
    cost: AgentCost = AgentCost()


class TenantUsage(WireModel):
    """What a tenant took of its quota within the last minute, leases of the replicas among it."""

    tenant: str
    requests_last_minute: int = 0
    tokens_last_minute: int = 0


class KeyExpiry(WireModel):
    """When the next API key of a tenant ends."""

    tenant: str
    ends_unix_ms: int


class ClusterView(WireModel):
    """State of a policy's hint service, as any of its replicas sees it.

    ``certificate_ends_unix_ms`` is of the certificate that it serves with, absent without one; ``certificate_error``
    tells why it cannot serve with what its Secret holds now, empty where it does. ``keys`` has the tenants of which an
    API key ends at all, ``keyless`` those whose Secret is not there, or holds no key.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    leader: str = ""
    term: int = 0
    replicas: list[Replica] = []
    nodes: list[NodeReport] = []
    snapshot: Snapshot | None = None
    usage: list[TenantUsage] = []
    certificate_ends_unix_ms: int | None = None
    certificate_error: str = ""
    keys: list[KeyExpiry] = []
    keyless: list[str] = []
