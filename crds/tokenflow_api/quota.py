"""What passes between those who start requests and the keeper of the tenants' quotas."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from tokenflow_api._base import WireModel
from tokenflow_api.meta import Name

SCHEMA: Final = 1

Tokens = Annotated[int, Field(ge=0, le=10**9)]


class Refusal(StrEnum):
    """Why a request was not admitted."""

    REQUESTS = "RequestsPerMinute"
    TOKENS = "TokensPerMinute"
    STREAMS = "ConcurrentStreams"
    CAPACITY = "Capacity"
    """The upstreams are nearly full, and the rest is kept for tenants of a higher priority."""
    TOO_LARGE = "MaxTokensPerRequest"
    SHED = "Shed"
    """The GPUs are saturated."""
    STORE = "QuotaStoreUnavailable"


class AdmitRequest(WireModel):
    """Asks for room for one request.

    ``max_tokens`` is the most that it may complete, and what is reserved of it at most; 0 reserves the tenant's
    ``maxTokensPerRequest``. ``input_tokens`` are known beforehand. ``stream`` takes one of its concurrent streams.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tenant": "gold", "max_tokens": 400, "input_tokens": 100}]}
    )

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    tenant: Name
    max_tokens: Tokens = 0
    input_tokens: Tokens = 0
    stream: bool = True


class Limit(WireModel):
    """One limit, how much of it is left, and when it is whole again."""

    limit: int
    remaining: int
    reset_ms: int


class AdmitReply(WireModel):
    """Whether there is room, and how much is left.

    ``reservation`` must come back with the commit. ``local`` tells that the quota store is out of reach, and that
    ``failureMode`` decided. A ``refusal`` beside ``admitted`` is what ``mode: Enforce`` would have said.
    ``streams_left`` may still be opened, as far as is known.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    admitted: bool
    reservation: str = ""
    refusal: Refusal | None = None
    retry_after_ms: Annotated[int, Field(ge=0)] = 0
    requests: Limit
    tokens: Limit
    reserved_tokens: int = 0
    streams_left: Annotated[int, Field(ge=0)] = 0
    local: bool = False


class CommitRequest(WireModel):
    """Says what an admitted request really took, when it is done, broken off or failed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reservation": "xQaEoHd5", "input_tokens": 100, "output_tokens": 230, "duration_ms": 8200},
            ]
        }
    )

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    reservation: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    duration_ms: Annotated[int, Field(ge=0, le=10**9)] = 0


class CommitReply(WireModel):
    """Whether the commit counted: a reservation counts once, and runs out by itself.

    ``local`` tells that the quota store is out of reach: the commit is kept, and counts when it is back.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    committed: bool
    returned_tokens: int = 0
    local: bool = False


class Cost(WireModel):
    """What tokens cost, in millionths of the currency."""

    currency: str
    input_micros: int
    output_micros: int


class UsageReply(WireModel):
    """What a tenant used from ``from_unix_ms`` until before ``to_unix_ms``, both rounded to whole hours.

    Requests count when they are admitted, all else when it is committed. ``costs`` has one entry per currency.
    """

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    tenant: str
    from_unix_ms: int
    to_unix_ms: int
    requests: int
    input_tokens: int
    output_tokens: int
    duration_ms: int
    costs: list[Cost] = []
