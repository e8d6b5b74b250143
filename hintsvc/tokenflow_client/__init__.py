"""The client SDK: paces streams by the hints of a policy, and follows the hints themselves."""

from tokenflow_client._breaker import Circuit
from tokenflow_client._client import TokenFlow
from tokenflow_client._errors import (
    CircuitOpenError,
    HintsUnavailableError,
    StreamInterruptedError,
    TokenFlowError,
    UsageError,
)
from tokenflow_client._follower import HintFollower
from tokenflow_client._options import Options
from tokenflow_client._paced import PacedBatches, PacedStream
from tokenflow_client._reader import HintReader
from tokenflow_client._state import State, Status
from tokenflow_client._sync_client import SyncTokenFlow
from tokenflow_client._sync_paced import SyncPacedBatches, SyncPacedStream
from tokenflow_client._transport import PacedTransport, SyncPacedTransport

__all__ = [
    "Circuit",
    "CircuitOpenError",
    "HintFollower",
    "HintReader",
    "HintsUnavailableError",
    "Options",
    "PacedBatches",
    "PacedStream",
    "PacedTransport",
    "State",
    "Status",
    "StreamInterruptedError",
    "SyncPacedBatches",
    "SyncPacedStream",
    "SyncPacedTransport",
    "SyncTokenFlow",
    "TokenFlow",
    "TokenFlowError",
    "UsageError",
]
